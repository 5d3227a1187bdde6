"""Real processes whose model is a ledger: killed and restarted, all end with the same bits."""

from contextlib import ExitStack
from functools import partial

import pytest

import topologies
from sim.identities import identity_of
from tests.processes import PeerProcess, write_peers

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.nightly]

SEED = 5
ROUNDS = 60
KILLED, ITS_ROUNDS = 1, 8
NET = topologies.create("line", nodes=4)
SPARSE = {"name": "sparse", "chunk": 256, "kept": 16}
# Of each method: its constants at a peer, codec, learning rate, and for how many seconds those stay
# who were not killed: the killed one has to be back by then, on a busy machine, too.
KINDS = {
    "seeds": (lambda _: {}, {"name": "operation"}, 0.005, 45.0),
    "sparse-sum": (lambda _: {"peer_count": 4}, SPARSE, 0.02, 30.0),
    "adapter-set": (lambda index: {"rank": 2 << index}, {"name": "operation"}, 0.02, 30.0),
}


def config_of(name, index):
    is_killed = index == KILLED
    constants, codec, rate, linger_s = KINDS[name]
    return {
        "run": {"name": "ledger", "task": "digits", "seed": SEED},
        "method": {"name": name, **constants(index)},
        "codec": codec,
        "share": {"name": "dirichlet", "alpha": 0.5, "index": index, "count": 4},
        "training": {
            "steps_per_round": 30,
            "threads": 1,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": rate},
        },
        # The one that is killed has trained long before the others have, and outstays them.
        "schedule": {
            "rounds_max": ITS_ROUNDS if is_killed else ROUNDS,
            "evaluate_every_rounds": 0,
            "linger_s": 100.0 if is_killed else linger_s,
            "start_neighbors": len(list(NET.neighbors(index))),
            "start_deadline_s": 90.0,
        },
    }


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_peer_ends_with_the_bits_of_the_others(tmp_path, name):
    identities = [identity_of(SEED, index) for index in range(4)]
    folders = write_peers(tmp_path, identities, NET.neighbors, partial(config_of, name))
    with ExitStack() as stack:
        processes = [PeerProcess(folder) for folder in folders]
        for process in processes:
            stack.callback(process.end)
        for _ in range(4):
            processes[KILLED].wait_for_line("round")
        processes[KILLED].kill()
        back = PeerProcess(folders[KILLED])
        stack.callback(back.end)
        others = [process.outcome() for process in processes if process is not processes[KILLED]]
        back.ask_to_leave()
        outcomes = [*others, back.outcome()]
    assert [outcome["rounds"] for outcome in outcomes] == [ROUNDS, ROUNDS, ROUNDS, ITS_ROUNDS]
    assert len({outcome["model_digest"] for outcome in outcomes}) == 1
