"""One run behind a row of accuracy against bytes: a line, a seed, and what came of it."""

import json
import time
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import networkx as nx
from typing_extensions import override

import sim
from benchmarks.bytes_lines import BENCHES, PEERS, Bench, Line
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event, TrainingFinished
from sim.host import Host
from sim.scenario import load_scenario
from sim.watching import Watcher

DEGREE = 4  # as in the demonstration


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run.

    Attributes:
        task: A name of `BENCHES`.
        line: A name of one of its lines.
        seed: Of everything random.
        peers: How many.
        is_ring: Whether each has two neighbors, and not four.
        learning_rate: In place of the line's, None for that.
        rounds: In place of the task's, None for that; then only bytes count: nothing is evaluated.
    """

    task: str
    line: str
    seed: int
    peers: int = PEERS
    is_ring: bool = False
    learning_rate: float | None = None
    rounds: int | None = None

    def scenario(self) -> dict[str, Any]:
        """Return the scenario to simulate."""
        bench = BENCHES[self.task]
        line = bench.line(self.line)
        shape = {"name": "ring"} if self.is_ring else {"name": "k-regular", "degree": DEGREE}
        made = {
            **bench.run,
            "run": {"name": f"bytes-{self.task}", "task": self.task},
            "method": dict(line.method),
            "codec": dict(line.codec),
            "training": _training(bench, line, self.learning_rate),
            "topology": {**shape, "nodes": self.peers},
        }
        if self.rounds is not None:
            made["schedule"] = {
                **made["schedule"],
                "rounds_max": self.rounds,
                "evaluate_every_rounds": 0,
            }
        return made

    def key(self) -> str:
        """Return what decides the result beside the sources: a changed line is another cell."""
        return json.dumps([self.seed, self.scenario()], sort_keys=True)


class Publications(Watcher):
    """Counts the updates of each peer and their bytes.

    Attributes:
        payload_bytes: Of each update, by number of the peer.
        values: That an update stands for.
    """

    def __init__(self) -> None:
        self.payload_bytes: dict[int, list[int]] = {}
        self.values = 0

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        del effects
        if isinstance(event, TrainingFinished):
            self.payload_bytes.setdefault(host.index, []).append(event.payload.size_bytes)
            self.values = host.bench.learner.specification.size  # type: ignore[union-attr]


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run a cell and return what is kept of it."""
    began, began_cpu = time.perf_counter(), time.process_time()
    scenario = load_scenario(cell.scenario())
    watcher = Publications()
    found = sim.run(scenario, seed=cell.seed, watchers=[watcher])
    # A peer whose training diverged is evaluated nowhere, and right nowhere.
    last = [report.scores[-1] if report.scores else None for report in found.peers]
    validations = [0.0 if score is None else score.score for score in last]
    tests = [0.0 if score is None else score.test_score or 0.0 for score in last]
    graph: nx.Graph = scenario.world.topology.create(seed=cell.seed).graph
    payloads = [
        graph.degree[index] * sum(sizes) for index, sizes in sorted(watcher.payload_bytes.items())
    ]
    updates = [size for sizes in watcher.payload_bytes.values() for size in sizes]
    result = {
        "mean_accuracy": fmean(tests),
        "worst_accuracy": min(tests),
        "validation_accuracy": fmean(validations),
        "bytes_per_peer": fmean(found.bytes_sent),
        "payload_bytes_per_peer": fmean(payloads),
        "update_bytes": fmean(updates),
        "updates_per_peer": len(updates) / cell.peers,
        "values": watcher.values,
        "trace_digest": found.trace_digest,
    }
    return {
        "cell": asdict(cell),
        "key": cell.key(),
        "result": result,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
    }


def _training(bench: Bench, line: Line, learning_rate: float | None) -> dict[str, Any]:
    rule = {
        **bench.run["training"].get("step_rule", {"name": "adamw"}),
        "learning_rate": line.learning_rate if learning_rate is None else learning_rate,
        "head_learning_rate": bench.head_learning_rate,
    }
    return {**bench.run["training"], "threads": 1, **line.training, "step_rule": rule}
