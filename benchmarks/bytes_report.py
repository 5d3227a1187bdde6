"""The document of accuracy against bytes: table, claims, and what learning rates were tried."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.bytes_cells import DEGREE
from benchmarks.bytes_lines import BENCHES, PEERS, TUNING_SEED, Bench, Line

Run = Mapping[str, Any]

_HEAD = """\
# {title}

Written by `make results-bytes BYTES_ARGS='--task {task}'`. {peers} peers on a {degree}-regular
graph are simulated frame by frame: Dirichlet 0.3, every round in step, {rounds} rounds of {steps}
local steps of {batch} examples, plain averaging with Metropolis weights, nobody lies. Bytes are
those that a peer sends over the simulator's wire in the whole run, to its {degree} neighbors, with
handshakes, headers, heartbeats and the transport's framing; *framing* is all that is no payload.
The codecs from int4 on send differences ([codecs.md](../codecs.md)).

The **denominator** of a ratio is the line under *of*, at equal rounds; *payload ratio* leaves
framing out on both sides. *Bits* are those of a payload per trained value, and per value that it
says something of. Accuracy is on test data, mean and worst over the peers; *points* are what the
mean has more than the denominator's at the same seed. Figures are mean (least to most) over seeds.

![accuracy against bytes]({plot})

"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one line, by seed."""

    line: Line
    runs: Mapping[int, Run]

    def mean(self, name: str) -> float:
        """Return the mean over the seeds."""
        return fmean(run[name] for run in self.runs.values())


@dataclass(frozen=True, kw_only=True)
class Results:
    """What is known of a task.

    Attributes:
        task: Its name.
        seeds: Results by name of the line and seed.
        tuned: Results by name of the line and learning rate.
        peer_counts: Results by number of peers.
    """

    task: str
    seeds: Mapping[tuple[str, int], Run]
    tuned: Mapping[tuple[str, float | None], Run]
    peer_counts: Mapping[int, Run]

    @property
    def bench(self) -> Bench:
        """What is particular to the task."""
        return BENCHES[self.task]

    def row(self, name: str) -> Row | None:
        """Return what came of a line, None if it was not run."""
        runs = {seed: run for (line, seed), run in self.seeds.items() if line == name}
        return Row(line=self.bench.line(name), runs=runs) if runs else None

    def rows(self) -> list[Row]:
        """Return all that were run, in the table's order."""
        found = [self.row(line.name) for line in self.bench.lines]
        return [row for row in found if row is not None]

    def denominator(self, row: Row) -> Row | None:
        """Return what came of the line whose bytes a line's ratios are of."""
        return self.row(row.line.denominator or self.bench.denominator)

    def points(self, row: Row) -> list[float]:
        """Return the points above the denominator, per seed that both have."""
        denominator = self.denominator(row)
        if denominator is None:
            return []
        return [
            100.0 * (run["mean_accuracy"] - denominator.runs[seed]["mean_accuracy"])
            for seed, run in row.runs.items()
            if seed in denominator.runs
        ]

    def ratio(self, row: Row, name: str = "bytes_per_peer") -> float | None:
        """Return how many times fewer bytes than the denominator a line has."""
        denominator = self.denominator(row)
        return None if denominator is None else denominator.mean(name) / row.mean(name)


def document(results: Results, plot: str, place: str) -> str:
    """Return the whole document.

    Args:
        results: The runs.
        plot: Name of the picture beside it.
        place: Machine and versions.
    """
    run = results.bench.run
    head = _HEAD.format(
        title=results.bench.title,
        task=results.task,
        peers=PEERS,
        degree=DEGREE,
        rounds=run["schedule"]["rounds_max"],
        steps=run["training"]["steps_per_round"],
        batch=run["training"]["batch_size"],
        denominator=results.bench.denominator,
        plot=plot,
    )
    parts = [claims(results), table(results), rates(results), peer_counts(results)]
    return head + "\n".join(part for part in parts if part) + f"\n{place}\n"


def table(results: Results) -> str:
    """Return one row per line that was run."""
    titles = ["method", "codec", "rate", "trained", "local steps", "density", "bits per value"]
    titles += ["bits per kept value", "accuracy", "points", "worst peer", "kB sent per peer"]
    titles += ["of it framing", "ratio", "payload ratio", "of", "seeds"]
    lines = [_table_row(results, row) for row in results.rows()]
    return f"## All lines\n\n{_table(titles, lines)}"


def _table_row(results: Results, row: Row) -> list[str]:
    line, values = row.line, row.mean("values")
    kept = math.ceil(line.density * values)
    bits = 8.0 * row.mean("update_bytes")
    sent, payload = row.mean("bytes_per_peer"), row.mean("payload_bytes_per_peer")
    steps = {**results.bench.run["training"], **line.training}["steps_per_round"]
    return [
        *line.name.split(" / "),
        f"{line.learning_rate:g}",
        f"{values:,.0f}",
        str(steps),
        f"{line.density:.3g}",
        f"{bits / values:.2f}",
        f"{bits / kept:.2f}",
        _spread([run["mean_accuracy"] for run in row.runs.values()], 3),
        _spread(results.points(row), 1, sign=True),
        _spread([run["worst_accuracy"] for run in row.runs.values()], 3),
        f"{sent / 1e3:,.1f}",
        f"{(sent - payload) / sent:.1%}",
        _ratio(results.ratio(row)),
        _ratio(results.ratio(row, "payload_bytes_per_peer")),
        f"`{row.line.denominator or results.bench.denominator}`",
        _seeds(row),
    ]


def claims(results: Results) -> str:
    """Return whether each claim holds, with its figures."""
    titles = [
        "line",
        "claimed",
        "of",
        "ratio",
        "payload ratio",
        "points",
        "accuracy",
        "seeds",
        "holds",
    ]
    lines = []
    for claim in results.bench.claims:
        row = results.row(claim.line)
        of = results.bench.line(claim.line).denominator or results.bench.denominator
        wanted = f"{claim.ratio_min:g} times fewer bytes"
        if claim.points_max is not None:
            wanted += f", within {claim.points_max:g} point"
        if row is None or (ratio := results.ratio(row)) is None:
            lines.append([f"`{claim.line}`", wanted, f"`{of}`", *[""] * 5, "not measured"])
            continue
        points = results.points(row)
        is_near = claim.points_max is None or (bool(points) and fmean(points) >= -claim.points_max)
        is_met = ratio >= claim.ratio_min and is_near
        lines.append(
            [
                f"`{claim.line}`",
                wanted,
                f"`{of}`",
                _ratio(ratio),
                _ratio(results.ratio(row, "payload_bytes_per_peer")),
                _spread(points, 1, sign=True),
                _spread([run["mean_accuracy"] for run in row.runs.values()], 3),
                _seeds(row),
                "yes" if is_met else "**no**",
            ]
        )
    return f"## What was claimed\n\n{_table(titles, lines)}{_framing(results)}"


def _framing(results: Results) -> str:
    """Return what bounds the ratios of small updates."""
    row = results.row(results.bench.denominator)
    if row is None:
        return ""
    framing = row.mean("bytes_per_peer") - row.mean("payload_bytes_per_peer")
    each = framing / (row.mean("updates_per_peer") * DEGREE)
    return (
        f"\nFraming is about {each:,.0f} bytes per update and neighbor in `{row.line.name}`, and "
        "hardly less where updates are small: there it bounds the ratio.\n"
    )


def rates(results: Results) -> str:
    """Return the learning rates tried, and what they gave on validation data."""
    if not results.tuned:
        return ""
    lines = [
        [line, f"{rate:g}", f"{run['validation_accuracy']:.3f}"]
        for (line, rate), run in results.tuned.items()
    ]
    titles = ["line", "rate", "validation accuracy"]
    text = (
        f"Tried on seed {TUNING_SEED}, which is in no other table, and judged by validation data "
        "alone; heads keep theirs, and a method has the same rate with all codecs. Where training "
        "diverged, accuracy counts as 0."
    )
    return f"## Learning rates\n\n{text}\n\n{_table(titles, lines)}"


def peer_counts(results: Results) -> str:
    """Return the bytes at several numbers of peers."""
    if not results.peer_counts:
        return ""
    lines = [
        [
            str(peers),
            f"{run['update_bytes']:,.0f}",
            f"{run['payload_bytes_per_peer'] / 1e3:,.2f}",
            f"{run['bytes_per_peer'] / 1e3:,.2f}",
        ]
        for peers, run in sorted(results.peer_counts.items())
    ]
    titles = ["peers", "bytes of an update", "kB of payloads sent per peer", "kB sent per peer"]
    text = (
        f"`{results.bench.peer_counts_line}` on rings, {results.bench.peer_counts_rounds} rounds: "
        "what a peer sends depends on its neighbors and not on how many peers there are, but for "
        "what peers tell each other of the rest."
    )
    return f"## More peers\n\n{text}\n\n{_table(titles, lines)}"


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _seeds(row: Row) -> str:
    return ", ".join(str(seed) for seed in sorted(row.runs))


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}"


def _spread(values: Sequence[float], digits: int, *, sign: bool = False) -> str:
    if not values:
        return ""
    form = f"{'+' if sign else ''}.{digits}f"
    # Adding 0 turns what was rounded to -0 into 0.
    mean, least, most = (
        f"{round(value, digits) + 0.0:{form}}"
        for value in (fmean(values), min(values), max(values))
    )
    return mean if len(values) == 1 else f"{mean} ({least} to {most})"
