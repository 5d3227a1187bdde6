"""One run behind a row of accuracy against bytes: a line, a seed, and what came of it."""

import json
import time
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from statistics import fmean
from typing import Any

import networkx as nx
import torch
from typing_extensions import override

import sim
from benchmarks.bytes_lines import BENCHES, PEERS, Bench, Line, Tables
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event, IntegrationFinished, TrainingFinished
from p2pfed.identity import PeerId
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX
from p2pfed.messages import UpdateKind
from sim.benches import never
from sim.checkers.sequences import carried_update
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
        task_options: In place of the task's.
    """

    task: str
    line: str
    seed: int
    peers: int = PEERS
    is_ring: bool = False
    learning_rate: float | None = None
    rounds: int | None = None
    task_options: Tables = field(default_factory=dict)

    def scenario(self) -> dict[str, Any]:
        """Return the scenario to simulate."""
        bench = BENCHES[self.task]
        line = bench.line(self.line)
        shape = {"name": "ring"} if self.is_ring else {"name": "k-regular", "degree": DEGREE}
        made = {
            **bench.run,
            "run": {"name": f"bytes-{self.task}", "task": self.task},
            "task": {**bench.run["task"], **self.task_options},
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
        """Return a digest of what decides the result beside the sources.

        A line that was changed is another cell.
        """
        decisive = json.dumps([self.seed, self.scenario()], sort_keys=True)
        return blake2b(decisive.encode(), digest_size=8).hexdigest()


class Publications(Watcher):
    """Counts the updates of each peer and their bytes.

    Attributes:
        payload_bytes: Of each update, by number of the peer.
        values: That an update stands for.
        own_bytes: Of frames that carry or announce an update of their sender, to all neighbors.
        relayed_bytes: Of frames that do so with an update of somebody else.
        frame_bytes_max: The largest frame of either kind.
        signed_bytes: Of each own update as a neighbor gets it, with header and signature, once per
            neighbor; without snapshots of a log, which nobody fetches who has the log.
        test_losses: Mean loss on test rows after the last round, by number of the peer.
    """

    def __init__(self) -> None:
        self.payload_bytes: dict[int, list[int]] = {}
        self.values = 0
        self.own_bytes = 0
        self.relayed_bytes = 0
        self.frame_bytes_max = 0
        self.signed_bytes: list[int] = []
        self.test_losses: dict[int, float] = {}

    @override
    def frame_sent(self, host: Host, peer: PeerId, frame: bytes) -> None:
        signed = carried_update(frame)
        if signed is None:
            return
        if signed.header.author == host.peer:
            self.own_bytes += len(frame)
            if signed.header.kind is not UpdateKind.SNAPSHOT:
                payload_bytes = signed.header.payload_bytes
                is_inline = payload_bytes <= INLINE_PAYLOAD_BYTES_MAX
                self.signed_bytes.append(len(frame) + (0 if is_inline else payload_bytes))
        else:
            self.relayed_bytes += len(frame)
        self.frame_bytes_max = max(self.frame_bytes_max, len(frame))

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        del effects
        if isinstance(event, TrainingFinished):
            self.payload_bytes.setdefault(host.index, []).append(event.payload.size_bytes)
            self.values = host.bench.learner.specification.size  # type: ignore[union-attr]
        elif isinstance(event, IntegrationFinished) and event.evaluation is not None:
            # The core is told of the metric alone.
            learner = host.bench.learner  # type: ignore[union-attr]
            self.test_losses[host.index] = learner.evaluate("test", should_stop=never)[1]


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run a cell and return what is kept of it."""
    # For texts of a few words the plain product is faster on a CPU by a third of a training step.
    torch.backends.cuda.enable_flash_sdp(False)
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
    losses = list(watcher.test_losses.values())
    updates = [size for sizes in watcher.payload_bytes.values() for size in sizes]
    result = {
        "mean_accuracy": fmean(tests),
        "worst_accuracy": min(tests),
        "validation_accuracy": fmean(validations),
        "bytes_per_peer": fmean(found.bytes_sent),
        "payload_bytes_per_peer": fmean(payloads),
        "update_bytes": fmean(updates),
        "update_bytes_max": max(updates),
        "own_bytes_per_peer": watcher.own_bytes / cell.peers,
        "relayed_bytes_per_peer": watcher.relayed_bytes / cell.peers,
        "frame_bytes_max": watcher.frame_bytes_max,
        "signed_update_bytes": fmean(watcher.signed_bytes),
        "mean_test_loss": fmean(losses) if len(losses) == cell.peers else None,
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
        **line.training.get("step_rule", {}),
    }
    return {**bench.run["training"], "threads": 1, **line.training, "step_rule": rule}
