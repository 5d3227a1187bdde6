"""Difference gossip among real models: as good as exact, and through crashes and lost disks."""

from typing import Any

import pytest
import torch

import sim
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.learn.public_copies import PublicCopies
from p2pfed.learn.workbench import Workbench
from p2pfed.messages import UpdateKind
from sim.building import _build, draw_faults
from sim.checkers.sequences import carried_update
from sim.faults import plan_faults
from sim.host import Host
from sim.scenario import load_scenario
from sim.watching import Watcher
from sim.world import World

RING: dict[str, Any] = {
    "run": {"task": "digits"},
    "training": {
        "steps_per_round": 5,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.1},
    },
    "share": {"name": "dirichlet", "alpha": 0.5},
    "integration": {"rule": "mean"},
    "schedule": {"mode": "synchronous", "rounds_max": 12, "evaluate_every_rounds": 0},
    "topology": {"name": "ring", "nodes": 4},
    "network": {"latency_s": 0.02},
    "compute": {"training_s": 0.5},
}


class Witness(Watcher):
    """Counts full updates and differences, and rows that could not be followed."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[bytes, int, int], UpdateKind] = {}
        self.gaps = 0

    def frame_sent(self, host: Host, peer: bytes, frame: bytes) -> None:
        del peer
        signed = carried_update(frame)
        if signed is not None and signed.header.author == host.peer:
            header = signed.header
            self.kinds[header.author, header.incarnation, header.sequence] = header.kind

    def notice_given(self, host: Host, notice: Notice) -> None:
        del host
        if isinstance(notice, RoundFinished):
            self.gaps += sum(verdict.reason == "gap" for verdict in notice.verdicts)

    def count(self, kind: UpdateKind) -> int:
        return sum(it is kind for it in self.kinds.values())


def run_with_faults(changes: dict[str, Any]) -> tuple[World, Witness]:
    scenario = load_scenario({**RING, **changes})
    faults = draw_faults(scenario, 0)
    world = _build(
        scenario,
        0,
        {},
        [witness := Witness()],
        keeps_models=True,
    )
    plan_faults(world, faults)
    world.run(until_s=600.0, stop=lambda: all(host.is_done for host in world.hosts))
    return world, witness


def copies(host: Host) -> PublicCopies:
    assert isinstance(host.bench, Workbench)
    assert host.bench._copies is not None
    return host.bench._copies


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_four_bits_learn_as_much_as_thirty_two(mode: str) -> None:
    schedule = {"mode": mode, "rounds_max": 20, "evaluate_every_rounds": 20}
    # Whole models that come in their frames are not validated before, and rows that are older by
    # that are no matter of bits.
    ring = {**RING, "schedule": schedule, "compute": {**RING["compute"], "validation_s": 0.0}}
    exact = sim.run(ring, seed=0)
    rounded = sim.run({**ring, "codec": {"name": "int4"}}, seed=0)
    expected, found = exact.metrics["mean_accuracy"], rounded.metrics["mean_accuracy"]
    assert expected is not None
    assert found is not None
    assert found > expected - 0.01
    # 2,410 parameters are a small model: frames and heartbeats are a part of every kilobyte.
    assert sum(exact.bytes_sent) > 6 * sum(rounded.bytes_sent)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_copies_are_the_same_bits_after_crashes_and_lost_disks(mode: str) -> None:
    crashes = [
        {"kind": "crash", "peers": [1], "at_s": 2.0},
        {"kind": "restart", "peers": [1], "at_s": 4.0},
        {"kind": "crash", "peers": [2], "at_s": 5.0},
        {"kind": "restart", "peers": [2], "at_s": 7.0, "lose_disk": True},
    ]
    world, witness = run_with_faults(
        {
            "codec": {"name": "int4"},
            "schedule": {"mode": mode, "rounds_max": 30, "evaluate_every_rounds": 0},
            "faults": crashes,
        }
    )
    assert witness.count(UpdateKind.DIFFERENCE) > 80
    assert 1 <= witness.count(UpdateKind.FULL) <= 8
    compared = 0
    by_peer = {host.peer: host for host in world.hosts}
    for host in world.hosts:
        for peer, copy in copies(host)._of_neighbors.items():
            own = copies(by_peer[peer])._own
            if (copy.incarnation, copy.sequence) == (own.incarnation, own.sequence):
                compared += 1
                assert torch.equal(copy.vector, own.vector)
    assert compared >= 2
