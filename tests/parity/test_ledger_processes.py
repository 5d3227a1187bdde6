"""Real processes whose model is a ledger: killed and restarted, all end with the same bits."""

from contextlib import ExitStack
from functools import partial

import pytest

import topologies
from sim.identities import identity_of
from tests.processes import BOUND_S, PeerProcess, write_peers

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.nightly]

SEED = 5
ROUNDS = 60
KILLED, ITS_ROUNDS = 1, 8
NET = topologies.create("line", nodes=4)
SPARSE = {"name": "sparse", "chunk": 256, "kept": 16}
# Of each method: its constants at a peer, codec and learning rate.
KINDS = {
    "seeds": (lambda _: {}, {"name": "operation"}, 0.005),
    "projected": (lambda _: {"epoch_count": 4}, {"name": "operation"}, 0.1),
    "sparse-sum": (lambda _: {"peer_count": 4}, SPARSE, 0.02),
    "adapter-set": (lambda index: {"rank": 2 << index}, {"name": "operation"}, 0.02),
}


def config_of(name, index):
    is_killed = index == KILLED
    constants, codec, rate = KINDS[name]
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
        # The one that is killed has trained long before the others have. It leaves when nothing
        # new has come for a while, and the others when they are told to.
        "schedule": {
            "rounds_max": ITS_ROUNDS if is_killed else ROUNDS,
            "evaluate_every_rounds": 0,
            "linger_s": 30.0 if is_killed else BOUND_S,
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
        others = [process for process in processes if process is not processes[KILLED]]
        for process in others:
            process.wait_for_line("training ended")
        last = back.outcome()
        for process in others:
            process.ask_to_leave()
        outcomes = [*(process.outcome() for process in others), last]
    assert [outcome["rounds"] for outcome in outcomes] == [ROUNDS, ROUNDS, ROUNDS, ITS_ROUNDS]
    assert len({outcome["model_digest"] for outcome in outcomes}) == 1
