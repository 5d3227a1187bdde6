"""The document of accuracy against bytes: table, claims, and what learning rates were tried."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmarks.bytes_cells import DEGREE
from benchmarks.bytes_lines import (
    BENCHES,
    OPERATION_BYTES_MAX,
    PEERS,
    SIZED_PEERS,
    SIZED_ROUNDS,
    Bench,
    Claim,
    Line,
)
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX

Run = Mapping[str, Any]

_HEAD = """\
# {title}

Written by `make results-bytes BYTES_ARGS='--task {task}'` from `bytes-{task}.jsonl`, which has all
runs. {peers} peers on a {degree}-regular graph are simulated frame by frame: Dirichlet 0.3, every
round in step, {rounds} rounds of {steps} local steps of {batch} examples, plain averaging with
Metropolis weights, nobody lies. Bytes are those that a peer sends over the simulator's wire in the
whole run, to its {degree} neighbors, with handshakes, headers, heartbeats and the transport's
framing; *framing* is all that is no payload of the peer's own. Frozen parameters and products of
matrices are {dtype}, what trains is float32. The codecs from int4 on send differences
([codecs.md](../codecs.md)).

The **denominator** of a ratio is the line under *of*, at equal rounds and local steps unless the
line says otherwise; *payload ratio* leaves framing out on both sides. *Bits* are those of a payload
per trained value, and per value that it says something of. Accuracy is on test data, mean and worst
over the peers; *points* are what the mean has more than the denominator's at the same seed. Figures
are mean (least to most) over seeds, and *error* is the standard error of the mean over seeds.

There are {test_rows} test rows, the same for all peers, lines and seeds. One row is
{row_points:.2f} points of one peer, and the choice of rows gives an accuracy of {accuracy:.2f} a
standard error of {error:.1f} points; lines are compared on the same rows, so that their differences
have a smaller one.

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

    def mean_known(self, name: str) -> float | None:
        """Return the same, None if a run does not know it: older ones were asked for less."""
        values = [run.get(name) for run in self.runs.values()]
        return None if None in values else fmean(values)


@dataclass(frozen=True, kw_only=True)
class Results:
    """What is known of a task.

    Attributes:
        task: Its name.
        seeds: Results by name of the line and seed.
        tuned: Results by name of the line, learning rate and seed.
        peer_counts: Results by name of the line and number of peers.
        sizes: Name of the line and result for each size of the model.
        sources: Digests of the sources that the runs are of.
    """

    task: str
    seeds: Mapping[tuple[str, int], Run]
    tuned: Mapping[tuple[str, float | None, int], Run]
    peer_counts: Mapping[tuple[str, int], Run]
    sizes: Sequence[tuple[str, Run]]
    sources: Collection[str]

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
        above = None if denominator is None else denominator.mean_known(name)
        below = row.mean_known(name)
        return None if above is None or below is None else above / below


def document(results: Results, plot: str, place: str) -> str:
    """Return the whole document.

    Args:
        results: The runs.
        plot: Name of the picture beside it.
        place: Machine and versions.
    """
    bench, run = results.bench, results.bench.run
    exact = results.row(bench.denominator)
    accuracy = 0.5 if exact is None else exact.mean("mean_accuracy")
    head = _HEAD.format(
        title=bench.title,
        task=results.task,
        peers=PEERS,
        degree=DEGREE,
        rounds=run["schedule"]["rounds_max"],
        steps=run["training"]["steps_per_round"],
        batch=run["training"]["batch_size"],
        dtype=run["training"].get("dtype", "float32"),
        test_rows=bench.test_rows,
        row_points=100.0 / bench.test_rows,
        accuracy=accuracy,
        error=100.0 * math.sqrt(accuracy * (1.0 - accuracy) / bench.test_rows),
        plot=plot,
    )
    parts = [claims(results), table(results), sums(results), rates(results)]
    parts += [peer_counts(results), sizes(results)]
    if len(results.sources) > 1:
        place += f" The runs are of {len(results.sources)} states of the sources."
    return head + "\n".join(part for part in parts if part) + f"\n{place}\n"


def table(results: Results) -> str:
    """Return one row per line that was run."""
    titles = ["method", "codec", "rate", "trained", *_SETTING, "bits per value", "accuracy"]
    titles += ["points", "error", "worst peer", "kB sent per peer", "of it framing"]
    titles += ["ratio", "payload ratio", "of", "seeds"]
    lines = [_table_row(results, row) for row in results.rows()]
    return f"## All lines\n\n{_table(titles, lines)}"


def _table_row(results: Results, row: Row) -> list[str]:
    line, values = row.line, row.mean("values")
    sent, payload = row.mean("bytes_per_peer"), row.mean("payload_bytes_per_peer")
    points = results.points(row)
    return [
        *line.name.split(" / "),
        f"{line.learning_rate:g}",
        f"{values:,.0f}",
        *_setting(results, row),
        f"{8.0 * row.mean('update_bytes') / values:.2f}",
        _spread([run["mean_accuracy"] for run in row.runs.values()], 3),
        _spread(points, 1, sign=True),
        _error(points),
        _spread([run["worst_accuracy"] for run in row.runs.values()], 3),
        f"{sent / 1e3:,.1f}",
        f"{(sent - payload) / sent:.1%}",
        _ratio(results.ratio(row)),
        _ratio(results.ratio(row, "payload_bytes_per_peer")),
        f"`{row.line.denominator or results.bench.denominator}`",
        _seeds(row),
    ]


_SETTING = ("local steps", "density", "bits per kept value")


def _setting(results: Results, row: Row) -> list[str]:
    """Return what a ratio means nothing without."""
    steps = {**results.bench.run["training"], **row.line.training}["steps_per_round"]
    kept = math.ceil(row.line.density * row.mean("values"))
    return [
        str(steps),
        f"{row.line.density:.3g}",
        f"{8.0 * row.mean('update_bytes') / kept:.2f}",
    ]


def claims(results: Results) -> str:
    """Return whether each claim holds, with its figures, and why not."""
    titles = ["line", "claimed", "of", "ratio", "payload ratio", "update ratio", *_SETTING]
    titles += ["points", "error", "accuracy", "seeds", "holds"]
    lines, misses = [], []
    for claim in results.bench.claims:
        row = results.row(claim.line)
        of = results.bench.line(claim.line).denominator or results.bench.denominator
        wanted = f"{claim.ratio_min:g} times fewer bytes"
        wanted += " in an update" if claim.is_of_updates else ""
        if claim.points_max is not None:
            wanted += f", within {claim.points_max:g} point"
        beginning = [f"`{claim.line}`", wanted, f"`{of}`"]
        if row is None or results.ratio(row) is None:
            lines.append([*beginning, *[""] * (len(titles) - 4), "not measured"])
            continue
        points = results.points(row)
        missed = _missed(results, claim, row)
        lines.append(
            [
                *beginning,
                _ratio(results.ratio(row)),
                _ratio(results.ratio(row, "payload_bytes_per_peer")),
                _ratio(results.ratio(row, "signed_update_bytes")),
                *_setting(results, row),
                _spread(points, 1, sign=True),
                _error(points),
                _spread([run["mean_accuracy"] for run in row.runs.values()], 3),
                _seeds(row),
                "**no**" if missed else "yes",
            ]
        )
        if missed:
            why = f"; {claim.why_missed}" if claim.why_missed else ""
            misses.append(f"- `{claim.line}`: {' and '.join(missed)}{why}.\n")
    parts = [_table(titles, lines), "".join(misses), _framing(results)]
    return "## What was claimed\n\n" + "\n".join(part for part in parts if part)


def _missed(results: Results, claim: Claim, row: Row) -> list[str]:
    """Return what a line falls short of; nothing if the claim holds."""
    missed = []
    kind = "signed_update_bytes" if claim.is_of_updates else "bytes_per_peer"
    ratio, points = results.ratio(row, kind), results.points(row)
    if ratio is None or ratio < claim.ratio_min:
        missed.append(f"the ratio is {_ratio(ratio)}, not {claim.ratio_min:g}")
    if claim.points_max is not None:
        if not points:
            missed.append("no seed is common with the denominator")
        elif fmean(points) < -claim.points_max:
            missed.append(f"{-fmean(points):.2f} points are lost, not {claim.points_max:g} at most")
    return missed


def _framing(results: Results) -> str:
    """Return what bounds the ratios of small updates."""
    row = results.row(results.bench.denominator)
    if row is None:
        return ""
    framing = row.mean("bytes_per_peer") - row.mean("payload_bytes_per_peer")
    each = framing / (row.mean("updates_per_peer") * DEGREE)
    return (
        f"Framing is about {each:,.0f} bytes per update and neighbor in `{row.line.name}`, and "
        "hardly less where updates are small: there it bounds the ratio.\n"
    )


_SUMS = """\
A vector that is averaged goes from its author to {degree} neighbors and no further. A sum needs
every update at every peer: each of {peers} gets {others} in a round, and so sends {others} on
average, were each to come once. So at the wire the ratio is at best {degree} / {others} of that of
an update. Updates of up to {inline:,} bytes travel with their announcement and come over several
links, which costs more; larger ones are fetched once.

*Update ratio* is that of one update with its header and signature, in one copy. *Wire ratio* is
that of all bytes that peers send, relaying included. *Test loss* is the mean cross-entropy over
peers and rows after the last round, at equal rounds of as many local steps; *gap* is what it is
above the denominator's.
"""


def sums(results: Results) -> str:
    """Return what updates cost that all peers add up, one and in all copies, and what is lost."""
    titles = ["line", "of", *_SETTING, "bytes of an update", "of its denominator's", "update ratio"]
    titles += ["kB sent per round", "by its denominator", "wire ratio"]
    titles += ["test loss", "of its denominator", "gap", "points", "error", "seeds"]
    lines = [
        _sums_row(results, row) for row in results.rows() if row.line.method["name"] == "sparse-sum"
    ]
    if not lines:
        return ""
    text = _SUMS.format(
        degree=DEGREE, peers=PEERS, others=PEERS - 1, inline=INLINE_PAYLOAD_BYTES_MAX
    )
    return f"## Sums of sparse updates\n\n{text}\n{_table(titles, lines)}"


def _sums_row(results: Results, row: Row) -> list[str]:
    of = results.denominator(row)
    rounds = results.bench.run["schedule"]["rounds_max"]
    points = results.points(row)

    def both(name: str, form: str, divisor: float = 1.0) -> list[str]:
        found = [None if each is None else each.mean_known(name) for each in (row, of)]
        return ["" if value is None else format(value / divisor, form) for value in found]

    loss = row.mean_known("mean_test_loss")
    dense_loss = None if of is None else of.mean_known("mean_test_loss")
    return [
        f"`{row.line.name}`",
        f"`{row.line.denominator or results.bench.denominator}`",
        *_setting(results, row),
        *both("signed_update_bytes", ",.0f"),
        _ratio(results.ratio(row, "signed_update_bytes")),
        *both("bytes_per_peer", ",.1f", 1e3 * rounds),
        _ratio(results.ratio(row)),
        *both("mean_test_loss", ".3f"),
        "" if loss is None or dense_loss is None else f"{loss - dense_loss:+.3f}",
        _spread(points, 1, sign=True),
        _error(points),
        _seeds(row),
    ]


def rates(results: Results) -> str:
    """Return the learning rates tried, and what they gave on validation data."""
    if not results.tuned:
        return ""
    lines = []
    for name, rate in dict.fromkeys((line, rate) for line, rate, _ in results.tuned):
        runs = {
            seed: run["validation_accuracy"]
            for (line, tried, seed), run in results.tuned.items()
            if (line, tried) == (name, rate)
        }
        seeds = ", ".join(str(seed) for seed in sorted(runs))
        lines.append([name, f"{rate:g}", _spread(list(runs.values()), 3), seeds])
    titles = ["line", "rate", "validation accuracy", "seeds"]
    text = (
        "Tried on seeds that are in no other table, at the same rounds and local steps, and judged "
        "by validation data alone; heads keep theirs, and a method has the same rate with all "
        "codecs. Where training diverged, accuracy counts as 0. "
    ) + results.bench.other_choices
    return f"## Learning rates\n\n{text.strip()}\n\n{_table(titles, lines)}"


def peer_counts(results: Results) -> str:
    """Return the bytes at several numbers of peers."""
    if not results.peer_counts:
        return ""
    rounds = results.bench.peer_counts_rounds
    lines = [
        [
            f"`{line}`",
            str(peers),
            f"{run['update_bytes']:,.0f}",
            *(
                f"{run[name] / rounds / 1e3:,.2f}"
                for name in ("own_bytes_per_peer", "relayed_bytes_per_peer", "bytes_per_peer")
            ),
        ]
        for (line, peers), run in sorted(results.peer_counts.items())
    ]
    titles = ["line", "peers", "bytes of an update", "kB of own updates", "kB relayed", "kB sent"]
    text = (
        f"Rings, {rounds} rounds; kB are those that a peer sends in a round, to its two neighbors. "
        "Own updates are counted with header and signature; what is relayed are updates of "
        "others. A method that averages vectors sends as much however many peers there are, but "
        "for what peers tell each other of the rest; a ledger's updates pass everybody, so that "
        "what is relayed grows with their number: n peers on a ring relay about n - 2 updates "
        "each."
    )
    return f"## More peers\n\n{text}\n\n{_table(titles, lines)}"


def sizes(results: Results) -> str:
    """Return the bytes of a ledger's updates at several sizes of the model."""
    if not results.sizes:
        return ""
    lines = [
        [
            f"`{line}`",
            f"{run['values']:,}",
            f"{run['update_bytes']:,.0f}",
            f"{run['update_bytes_max']:,}",
            f"{run['frame_bytes_max']:,}",
            "yes" if run["frame_bytes_max"] < OPERATION_BYTES_MAX else "**no**",
        ]
        for line, run in results.sizes
    ]
    titles = ["line", "trained", "bytes of an update", "largest", "with header and signature"]
    titles.append(f"below {OPERATION_BYTES_MAX / 1e3:g} kB")
    text = (
        f"All of the model trains, at {SIZED_PEERS} peers on a ring, {SIZED_ROUNDS} rounds, and "
        "each publishes one update per round: it has as many numbers as there are directions or "
        "steps, whatever the model's size."
    )
    largest = [
        f"{max(run['update_bytes_max'] for run in row.runs.values()):,} bytes of `{row.line.name}`"
        for row in results.rows()
        if row.line.codec["name"] == "operation"
    ]
    if largest:
        text += (
            " In the runs of all lines, where now and then an update repeats all sums of its "
            f"author for those who missed some, the largest has {' and '.join(largest)}."
        )
    return f"## Larger models\n\n{text}\n\n{_table(titles, lines)}"


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _seeds(row: Row) -> str:
    return ", ".join(str(seed) for seed in sorted(row.runs))


def _error(points: Sequence[float]) -> str:
    return f"{stdev(points) / math.sqrt(len(points)):.1f}" if len(points) > 1 else ""


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
