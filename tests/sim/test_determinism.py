"""One seed, one trace: whatever PYTHONHASHSEED is, and however often."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import topologies
from p2pfed.core.config import ScheduleConfig
from sim.benches import LARGE_PAYLOAD_BYTES
from sim.cases import draw_case
from sim.stubs import stub_world
from sim.swarm import play

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def has_everything(seed: int) -> bool:
    """Return whether a seed draws crashes, a partition, losses, fetched payloads and a liar."""
    case = draw_case(seed)
    kinds = {type(fault).__name__ for fault in case.faults}
    is_full = case.payload_bytes == LARGE_PAYLOAD_BYTES and case.link.loss_ratio > 0.0
    return is_full and {"Crash", "Partition"} <= kinds and bool(case.adversaries)


SEED = next(seed for seed in range(1_000) if has_everything(seed))

PROGRAM = """
import sys
from sim.cases import draw_case
from sim.swarm import play
world = play(draw_case(int(sys.argv[1])))
print(world.trace.digest.hex(), world.trace.count)
"""


def digest_under(hash_seed: str) -> str:
    process = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(SEED)],
        # The path, so that it imports what is tested here, whatever is installed.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout


def test_one_trace_under_every_hash_seed() -> None:
    case = draw_case(SEED)
    digests = {digest_under(hash_seed) for hash_seed in ("0", "1", "42")}
    assert len(digests) == 1
    world = play(case)
    assert digests == {f"{world.trace.digest.hex()} {world.trace.count}\n"}


BATCHED = """
import sim
result = sim.run({
    "run": {"task": "tests.sim.compute.conftest:blobs"},
    "training": {"steps_per_round": 2, "threads": 1, "device": "cpu"},
    "schedule": {"rounds_max": 4},
    "topology": {"name": "complete", "nodes": 5},
    "faults": [{"kind": "crash", "at_s": 1.5, "peers": [1]},
               {"kind": "restart", "at_s": 2.5, "peers": [1]}],
})
print(result.trace_digest, *result.model_digests)
"""


def test_jobs_computed_together_give_one_trace_under_every_hash_seed() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-P", "-c", BATCHED],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "42")
    }
    assert len(found) == 1


def test_two_worlds_in_one_process_share_nothing() -> None:
    first, second = play(draw_case(3)), play(draw_case(3))
    assert first.trace.digest == second.trace.digest
    assert [host.disk.records() for host in first.hosts] == [
        host.disk.records() for host in second.hosts
    ]


def test_another_seed_gives_another_trace() -> None:
    assert play(draw_case(3)).trace.digest != play(draw_case(4)).trace.digest


def test_kept_lines_show_where_two_runs_part() -> None:
    schedule = ScheduleConfig(rounds_max=2)
    graph = topologies.create("line", nodes=2).graph
    worlds = [stub_world(graph, schedule, seed=seed, keeps_lines=True) for seed in (0, 0, 1)]
    for world in worlds:
        world.run(until_s=30.0)
        assert len(world.trace.lines) == world.trace.count
    assert worlds[0].trace.lines == worlds[1].trace.lines != worlds[2].trace.lines
