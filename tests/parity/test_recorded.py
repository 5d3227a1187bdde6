"""Real processes that keep their own times are recorded, and the records replay alike."""

from contextlib import ExitStack
from itertools import cycle

import pytest

import topologies
from p2pfed.node.replaying import replay_record
from sim.identities import identity_of
from tests.parity.families import FAMILIES, tables_of
from tests.processes import PeerProcess, write_peers

pytestmark = [pytest.mark.slow, pytest.mark.net]

SEED = 7
STEADY, KILLED, LIAR, LATE = PEERS = range(4)
PACES = {
    "window": {"integrate": "window", "window_s": 0.3},
    "arrivals": {"integrate": "arrivals", "arrivals": 2, "deadline_s": 1.0},
}


def config_of(family, pace, index):
    return {
        "run": {"name": "recorded", "task": "digits", "seed": SEED},
        "share": {"name": "dirichlet", "alpha": 0.5, "index": index, "count": len(PEERS)},
        **tables_of(family),
        "schedule": {
            "mode": "asynchronous",
            "rounds_max": 0,  # they leave when they are told to
            "evaluate_every_rounds": 0,
            "start_neighbors": 1,
            "start_deadline_s": 90.0,
            **PACES[pace],
        },
    }


class Swarm:
    """Processes that record; a context manager that leaves none of them behind."""

    def __init__(self, folder, family, pace):
        self.identities = [identity_of(SEED, index) for index in PEERS]
        net = topologies.create("complete", nodes=len(PEERS))
        self.folders = write_peers(
            folder,
            self.identities,
            net.neighbors,
            lambda index: config_of(family, pace, index),
        )
        self._stack = ExitStack()
        self._running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def start(self, index, *attacks):
        """Start a peer, or start it again; one that is told attacks lies."""
        words = ["--record", self.record(index)]
        if attacks:
            words += ["--seed", SEED, "--index", index]
            words += [word for name in attacks for word in ("--attack", name)]
        program = {"program": ("tests.parity.liar",)} if attacks else {}
        process = PeerProcess(self.folders[index], *words, **program)
        self._stack.callback(process.end)
        self._running[index] = process

    def record(self, index):
        return self.folders[index] / "peer.record"

    def wait_for_rounds(self, index, count):
        for _ in range(count):
            self._running[index].wait_for_line("round")

    def wait_until_met(self, index, other):
        """Wait until a peer has met another one, and has proof that the liar lies."""
        met = f"{self.identities[other].text} joined"
        self._running[index].wait_until_told(met, "broke the protocol (equivocation)")

    def kill(self, index):
        self._running.pop(index).kill()

    def leave(self):
        for process in self._running.values():
            process.ask_to_leave()
        for process in self._running.values():
            process.wait()


def replayed_alike(swarm, index):
    """Replay a peer's record, which must give the same effects; return what there was in it."""
    replayed = replay_record(swarm.record(index))
    assert replayed.difference is None
    assert replayed.events > 20
    return replayed


@pytest.mark.nightly
@pytest.mark.parametrize(("family", "pace"), list(zip(FAMILIES, cycle(PACES), strict=False)))
def test_records_of_a_hostile_swarm_with_churn_replay_alike(tmp_path, family, pace):
    with Swarm(tmp_path, family, pace) as swarm:
        swarm.start(STEADY)
        swarm.start(KILLED)
        swarm.start(LIAR, "equivocation", "sign-flip")
        swarm.wait_for_rounds(KILLED, 4)
        swarm.kill(KILLED)
        swarm.start(LATE)
        swarm.start(KILLED)
        swarm.wait_for_rounds(LATE, 4)
        swarm.wait_for_rounds(KILLED, 4)
        swarm.wait_until_met(STEADY, LATE)
        swarm.leave()
    replays = [replayed_alike(swarm, index) for index in PEERS]
    assert [replayed.lives for replayed in replays] == [1, 2, 1, 1]
    assert [len(replayed.notes) for replayed in replays] == [0, 1, 0, 0]
