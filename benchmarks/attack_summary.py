"""What the texts quote of the attack matrix: the default beside the other rules with all seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from benchmarks.attack_cells import NONE, PARTITIONS, SILENT
from benchmarks.attack_results import JUDGED_TOPOLOGY, Results, setting_of
from benchmarks.attack_text import table

LOSS_POINTS_MAX = 3.0  # wanted: the default on 6-regular loses no more than this to silent liars
NEAR_POINTS = 0.5  # below the best in the order of rules: as good as the best

_SUMMARY = """\
## In short

{scope}.

Of those with {seeds} seeds, on {topology}, per split of the data: how many of the {attacks} attacks
cost more than {points:g} points of mean honest accuracy against silent liars; the largest of these
losses, a mean over the seeds; the largest loss of the worst honest peer, a mean too; mean and worst
honest accuracy over all attacks; and mean accuracy where liars are silent, and where they behave.
The last two columns are of seed {first}: the share of triggered rows that the backdoor got, and the
worst accuracy on the ring, mean over all attacks.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a rule lost on the judged graph with one split of the data, over all seeds.

    Attributes:
        rule: The rule.
        partition: The split.
        above: Attacks that cost more mean accuracy than is wanted.
        largest: The largest mean loss, in points.
        largest_attack: Whose it is.
        worst_peer: The largest mean loss of the worst honest peer, in points.
        worst_peer_attack: Whose it is.
        mean_accuracy: Over all attacks, in percent.
        worst_accuracy: Of the worst honest peer, mean over all attacks, in percent.
    """

    rule: str
    partition: str
    above: tuple[str, ...]
    largest: float
    largest_attack: str
    worst_peer: float
    worst_peer_attack: str
    mean_accuracy: float
    worst_accuracy: float


def record_of(results: Results, rule: str, partition: str) -> Record | None:
    """Return what a rule lost; None where an attack was not run."""
    setting = (partition, JUDGED_TOPOLOGY)
    lost = {it: results.losses(rule, it, setting) for it in results.lies}
    lost_by_worst = {it: results.losses(rule, it, setting, "worst_accuracy") for it in results.lies}
    if not lost or not all(lost.values()):
        return None
    losses = {attack: fmean(values) for attack, values in lost.items()}
    of_worst = {attack: fmean(values) for attack, values in lost_by_worst.items()}
    largest, worst_peer = (
        max(losses, key=losses.__getitem__),
        max(of_worst, key=of_worst.__getitem__),
    )
    return Record(
        rule=rule,
        partition=partition,
        above=tuple(it for it in losses if losses[it] > LOSS_POINTS_MAX),
        largest=losses[largest],
        largest_attack=largest,
        worst_peer=of_worst[worst_peer],
        worst_peer_attack=worst_peer,
        mean_accuracy=_percent(results, rule, partition, results.lies, "mean_accuracy"),
        worst_accuracy=_percent(results, rule, partition, results.lies, "worst_accuracy"),
    )


def scope(results: Results, default: str) -> str:
    """Return how much was run, as the texts say it."""
    chosen = results.chosen(default)
    shape, seeds = results.shape, len(results.seeds)
    return (
        f"{len(results.rules)} pipelines against {len(results.lies)} attacks, {shape['peers']} "
        f"peers with {shape['liars']} liars; {seeds} seeds for {len(chosen)} pipelines, "
        "one for the others"
    )


def nearly_best(results: Results) -> list[tuple[str, float]]:
    """Return the rules as good as the best by the worst accuracy that orders them, in percent."""
    worsts = []
    for rule in results.ranked():
        runs = [
            it for it in results.runs(rule, of=results.lies) if setting_of(it)[1] == JUDGED_TOPOLOGY
        ]
        if runs:
            worsts.append((rule, 100.0 * fmean(run["result"]["worst_accuracy"] for run in runs)))
    return [it for it in worsts if it[1] >= worsts[0][1] - NEAR_POINTS]


def summary(results: Results, default: str) -> str:
    """Return the rules with all seeds beside each other."""
    lines = []
    for rule in results.chosen(default):
        for partition in PARTITIONS:
            record = record_of(results, rule, partition)
            if record is None:
                continue
            lines.append(
                [
                    rule,
                    partition,
                    str(len(record.above)),
                    f"{record.largest:.1f}: {record.largest_attack}",
                    f"{record.worst_peer:.1f}: {record.worst_peer_attack}",
                    f"{record.mean_accuracy:.1f}",
                    f"{record.worst_accuracy:.1f}",
                    *(
                        f"{_percent(results, rule, partition, [it], 'mean_accuracy'):.1f}"
                        for it in (SILENT, NONE)
                    ),
                    *_of_first_seed(results, rule, partition),
                ]
            )
    if not lines:
        return ""
    titles = ["rule", "split", f"above {LOSS_POINTS_MAX:g}", "largest loss", "worst peer's largest"]
    titles += ["mean", "worst", SILENT, NONE, "trigger", "ring, worst"]
    head = _SUMMARY.format(
        scope=scope(results, default),
        seeds=len(results.seeds),
        topology=JUDGED_TOPOLOGY,
        attacks=len(results.lies),
        points=LOSS_POINTS_MAX,
        first=results.seeds[0],
    )
    return f"{head}\n{table(titles, lines)}"


def _of_first_seed(results: Results, rule: str, partition: str) -> list[str]:
    runs = [it for it in results.runs(rule, of=results.lies) if setting_of(it)[0] == partition]
    judged = [run for run in runs if setting_of(run)[1] == JUDGED_TOPOLOGY]
    triggers = [it["result"]["attack_success"] for it in judged]
    got = [it for it in triggers if it is not None]
    ring = [run["result"]["worst_accuracy"] for run in runs if run not in judged]
    return [f"{fmean(got):.2f}" if got else "", f"{100.0 * fmean(ring):.1f}" if ring else ""]


def _percent(
    results: Results, rule: str, partition: str, attacks: Iterable[str], name: str
) -> float:
    found = [
        results.result(rule, attack, (partition, JUDGED_TOPOLOGY), seed)
        for attack in attacks
        for seed in results.seeds
    ]
    return 100.0 * fmean(it[name] for it in found if it is not None)
