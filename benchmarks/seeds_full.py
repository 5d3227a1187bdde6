"""Every weight of a sentence encoder trained by losses alone: `make results-seeds`.

Peers of the method `seeds` train all of MiniLM on Reuters R8, and one loses its disk near the end.
Reports the learning curve, bytes of updates and in all, and how long a newcomer takes to make the
model out of everybody's logs, to the same bits.

    python -m benchmarks.seeds_full                 # about half an hour on one idle core
    python -m benchmarks.seeds_full --task digits    # seconds; printed only
"""

import argparse
import hashlib
import os
import platform
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

import sim
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event, TrainingFinished
from p2pfed.learn.ledger_bench import LedgerBench
from sim.host import Host
from sim.scenario import load_scenario
from sim.watching import Watcher

DOCUMENT = Path(__file__).parents[1] / "docs" / "results" / "seeds-reuters.md"
PEERS = 4
ROUNDS = 12
NEWCOMER_S_MAX = 10.0
UPDATE_BYTES_MAX = 18_000  # FedKSeed's claim

_HEAD = """\
# All weights, by losses alone

Written by `make results-seeds`. {peers} simulated peers, each linked with each, train all {size:,}
parameters of {model} by the method `seeds`
([methods.md](../methods.md#seeds-and-projected)): Dirichlet 0.3, K = {directions:,} directions,
{rounds} rounds of {steps} steps, each of two losses of {batch} examples; learning rate {rate:g},
seed {seed}. In the last third one peer loses its disk, and comes back as a newcomer.
"""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is particular to a task.

    Attributes:
        model: What trains, for people.
        rows: Table `[task]` of the scenario.
        initial: As of the method.
        directions: K.
        steps: Of a peer in a round.
        batch: Examples of a step.
        learning_rate: The largest power of ten at which validation accuracy rose in six rounds of
            two peers.
    """

    model: str
    rows: Mapping[str, int]
    initial: str
    directions: int
    steps: int
    batch: int
    learning_rate: float


SETTINGS = {
    "reuters": Setting(
        model="MiniLM and a fresh head on Reuters R8",
        rows={"validation_rows": 200, "test_rows": 200},
        initial="given",
        directions=4_096,
        steps=40,
        batch=12,
        learning_rate=1e-4,
    ),
    "digits": Setting(
        model="a small network on digits",
        rows={},
        initial="portable",
        directions=1_024,
        steps=50,
        batch=32,
        learning_rate=1e-2,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """What it takes to make the model out of logs.

    Attributes:
        snapshot_bytes: Of everybody's logs together.
        seconds: To read and check them and to compute the weights.
        is_equal: Whether these have the SHA-256 of those that the peer ended with.
    """

    snapshot_bytes: int
    seconds: float
    is_equal: bool


@dataclass(kw_only=True)
class Publications(Watcher):
    """Keeps what a document tells of a run beside its result.

    Attributes:
        update_bytes: Of each update.
        benches: Of each peer, by its number.
    """

    update_bytes: list[int] = field(default_factory=list)
    benches: dict[int, LedgerBench] = field(default_factory=dict)

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        del effects
        if isinstance(event, TrainingFinished):
            self.update_bytes.append(event.payload.size_bytes)
        if isinstance(host.bench, LedgerBench):
            self.benches[host.index] = host.bench


def scenario(task: str, *, rounds: int) -> dict[str, Any]:
    """Return the scenario to simulate."""
    setting = SETTINGS[task]
    lost_s = rounds * 5 / 6  # a round takes a little more than a second of virtual time
    return {
        "run": {"name": f"seeds-{task}", "task": task},
        "task": dict(setting.rows),
        "method": {
            "name": "seeds",
            "initial": setting.initial,
            "direction_count": setting.directions,
            "share": 1.0 / PEERS,
        },
        "codec": {"name": "operation"},
        "share": {"name": "dirichlet", "alpha": 0.3},
        "training": {
            "steps_per_round": setting.steps,
            "batch_size": setting.batch,
            "threads": torch.get_num_threads(),
            "step_rule": {"name": "sgd", "learning_rate": setting.learning_rate},
        },
        "schedule": {
            "mode": "synchronous",
            "rounds_max": rounds,
            "evaluate_every_rounds": max(1, rounds // 6),
        },
        "topology": {"name": "complete", "nodes": PEERS},
        "faults": [
            {"kind": "crash", "at_s": lost_s, "peers": [PEERS - 1]},
            {"kind": "restart", "at_s": lost_s + 0.5, "peers": [PEERS - 1], "lose_disk": True},
        ],
    }


def rebuild(bench: LedgerBench) -> Newcomer:
    """Make a peer's model again, from what it would send a newcomer."""
    logs = [
        (writer, log.sequence, log.snapshot(), log.digest())
        for writer, log in bench.ledger.logs.items()
    ]
    began = time.perf_counter()
    ledger = bench.exchange.ledger.without(())
    for writer, sequence, sums, digest in logs:
        ledger.adopt(writer, sequence, sums, digest)
    weights = ledger.materialize(bench.initial)
    return Newcomer(
        seconds=time.perf_counter() - began,
        snapshot_bytes=sum(len(sums) for _, _, sums, _ in logs),
        is_equal=_sha256(weights) == _sha256(bench.learner.vector()),
    )


def document(
    found: sim.Result, seen: Publications, newcomer: Newcomer, *, task: str, rounds: int
) -> str:
    """Return the document's text."""
    setting = SETTINGS[task]
    head = _HEAD.format(
        **asdict(setting) | {"rate": setting.learning_rate},
        peers=PEERS,
        size=seen.benches[0].learner.specification.size,
        rounds=rounds,
        seed=found.seed,
    )
    tests = [report.scores[-1].test_score or 0.0 for report in found.peers]
    threads = torch.get_num_threads()
    facts = (
        f"Test accuracy at the end: mean {fmean(tests):.3f}, worst {min(tests):.3f}.",
        f"All {PEERS} peers end with equal digests, the newcomer too: {_word(is_one(found))}.",
        f"An own update has {fmean(seen.update_bytes):,.0f} bytes on average and at most "
        f"{max(seen.update_bytes):,} (wanted: below {UPDATE_BYTES_MAX:,} per peer and round).",
        f"A peer sends {fmean(found.bytes_sent) / rounds:,.0f} bytes per round over "
        f"{PEERS - 1} links; what it passes on, headers, heartbeats and framing are in it.",
        f"A newcomer reads {newcomer.snapshot_bytes:,} bytes of logs and has the weights after "
        f"{newcomer.seconds:.2f} s with {threads} thread(s) (wanted: {NEWCOMER_S_MAX:g} s), with "
        f"the SHA-256 that the others have: {_word(newcomer.is_equal)}.",
    )
    machine = (
        f"Machine: {os.cpu_count()} CPUs {platform.machine()}; Python {platform.python_version()}, "
        f"torch {version('torch')}; load {os.getloadavg()[0]:.1f} at the end."
    )
    return "\n".join([head, *_curve(found, setting), "", *_listed(facts), "", machine, ""])


def is_one(found: sim.Result) -> bool:
    """Tell whether all peers ended with the same vector."""
    return len(set(found.model_digests)) == 1


def _curve(found: sim.Result, setting: Setting) -> Iterator[str]:
    yield "| round | local steps of all peers | validation accuracy |"
    yield "|---|---|---|"
    by_round: dict[int, list[float]] = {}
    for report in found.peers[:-1]:  # the last one begins anew
        for score in report.scores:
            by_round.setdefault(score.round + 1, []).append(score.score)
    for number, scores in sorted(by_round.items()):
        yield f"| {number} | {number * setting.steps * PEERS:,} | {fmean(scores):.3f} |"


def _listed(facts: Sequence[str]) -> Iterator[str]:
    for fact in facts:
        yield textwrap.fill(fact, 99, initial_indent="* ", subsequent_indent="  ")


def _word(is_so: bool) -> str:
    return "yes" if is_so else "NO"


def _sha256(weights: Tensor) -> str:
    return hashlib.sha256(weights.numpy().tobytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and write the document; 0 if digests are equal and the newcomer was quick enough."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    seen = Publications()
    made = load_scenario(scenario(options.task, rounds=options.rounds))
    found = sim.run(made, seed=options.seed, watchers=[seen])
    newcomer = rebuild(seen.benches[0])
    text = document(found, seen, newcomer, task=options.task, rounds=options.rounds)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    print(text)
    is_well = is_one(found) and newcomer.is_equal and newcomer.seconds < NEWCOMER_S_MAX
    return 0 if is_well else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; only the run that the document is about is written there unasked."""
    parser = argparse.ArgumentParser(description="All weights, by losses alone.")
    parser.add_argument("--task", choices=sorted(SETTINGS), default="reuters")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write; by default, the document or none")
    options = parser.parse_args(arguments)
    asked = (options.task, options.rounds, options.seed)
    if options.out is None and asked == ("reuters", ROUNDS, 0):
        options.out = DOCUMENT
    return options


if __name__ == "__main__":
    sys.exit(main())
