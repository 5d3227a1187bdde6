"""The document of the attack matrix, all of it from what its CSV file holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.attack_cells import ATTACKS, PARTITIONS, SILENT, TOPOLOGIES
from benchmarks.attack_results import JUDGED_TOPOLOGY, SETTINGS, Results, setting_of
from benchmarks.attack_summary import LOSS_POINTS_MAX, summary
from benchmarks.attack_text import mean, shares, spread, table

ALONE_RATIO_MIN = 0.5  # of the integrations that kept own: from here on, a run shows no integration

_HEAD = """\
# Who survives whom

Written by `make attack-matrix`; every run is a line of [attack-matrix.csv](attack-matrix.csv).
{peers} peers learn handwritten digits in step, {liars} of them lie; which ones, who knows whom and
who has which rows follows from the seed. {rounds} rounds of 4 steps of SGD (rate 0.5, batches of
32), a network of 2,410 parameters. Every honest peer integrates with `robust.Integrator` (norm cap
3, f from beta_max 0.3: 2 with 6 neighbors, 1 with 2); rules that need held-out data get the F1 of
each class that a peer knows, on the 200 validation rows. Behind a rule's name, `@no-cap` means that
no row is too long, `@ledger` that every peer keeps a reputation ledger, `@gate` that it probes all
its neighbors in each round and turns away who harms its held-out loss.

Accuracy is on test data, in percent, mean and worst of the honest peers. `{silent}` is the same run
with liars that send nothing. Liars know every honest row, and the same peers lie under every attack
of a seed. Figures over several seeds are mean (least to most), others of one seed.

{meanings}

Attacks on rankings and on the columns of heads (`half-swap`, `foreign-trojan` and the like) are not
here: these models are neither.

{place} Seeds {seeds}: {first} for the whole, all of them for {chosen}.
"""
_VERDICTS = """\
## Does the default lose more than {points:g} points to silent liars?

Points of mean honest accuracy that `{rule}` loses on {topology}, over the paired seeds.
"Covered" leaves out peers with more lying neighbors than their f, to whom no such rule promises
anything. A mean over {honest} honest peers hides what becomes of one of them: the next table tells.
"""
_WORST = """\
### What the worst honest peer loses

The least accuracy of an honest peer with silent liars, less the least one under attack, in points;
they need not be of the same peer. Honest peers that hear more liars than their f on {topology}:
{overrun}.
Those follow the liars; what the worst of the others ("covered") loses, the rule loses.
"""
_DISTANCES = """\
## Why skewed data cost more

How far from the mean of the honest rows `{rule}` ends on {topology}, peers with more lying
neighbors than f left out. A rule can promise no more than to stay within so many honest spreads:
root mean squared distances of the honest rows from their mean. The spread itself is what the data
make it; it is given as a share of the drift, the way that the honest mean has come from the initial
model. Their product is the error in shares of the drift. Over all rounds and seeds.
"""
_RANKING = """\
## All rules, seed {seed}

In the order of the worst honest accuracy on {topology}, mean over all attacks and both splits; then
the same per setting, on the ring without peers that hear more liars than f, and with silent liars.
Liar weight is the share of an integration that the liars' rows have together, false rejections the
share of honest rows that were turned away, false bans (with a ledger) the share of honest neighbors
that were ever banned, trigger the share of triggered test rows that the backdoor got; means over
the attacks, too. Seconds are those of one thread per run, on a machine with other work.

"Own kept" is the share of integrations in which a peer kept its own vector and went on alone,
because there were too few rows for the rule and its f, or none. Where it is large, nobody believes
a liar because nobody believes anybody: the accuracy is that of training on own data, which says
nothing for the rule. In the tables per attack, runs in which it is {alone:.0%} or more have a `*`.
"""
_STATES = """\
## Which runs are of which state of the sources

What decides a run (rules, attacks, learning, graphs) changed between some of these. A run is made
anew where a change concerns it; the column `sources` of the CSV file says of which state each is.
"""


def document(results: Results, default: str, place: str, failures: Sequence[str] = ()) -> str:
    """Return the whole document.

    Args:
        results: The runs, as the CSV file has them.
        default: The rule that is judged.
        place: Machine and versions.
        failures: What to say of runs that are not among the results.
    """
    chosen = results.chosen(default)
    meanings = "\n".join(
        f"- `{name}`: {ATTACKS[name].meaning}" for name in results.attacks if name in ATTACKS
    )
    head = _HEAD.format(
        **results.shape,
        silent=SILENT,
        meanings=meanings,
        place=place,
        seeds=", ".join(map(str, results.seeds)),
        first=results.seeds[0],
        chosen=", ".join(f"`{rule}`" for rule in chosen) or "none",
    )
    parts = [
        head,
        summary(results, default),
        verdicts(results, default),
        worst_peers(results, default),
        distances(results, default),
        ranking(results),
        seeds_of_chosen(results, chosen),
        matrices(results),
        states(results),
        "\n".join(["## Failed\n", *failures, ""]) if failures else "",
    ]
    return "\n".join(part for part in parts if part)


def verdicts(results: Results, rule: str) -> str:
    """Return one line per attack: does the default lose at most three points?"""
    lines = []
    for attack in results.lies:
        losses, covered = (
            [results.losses(rule, attack, (it, JUDGED_TOPOLOGY), of) for it in PARTITIONS]
            for of in ("mean_accuracy", "covered_accuracy")
        )
        if all(losses):
            is_met = all(fmean(it) <= LOSS_POINTS_MAX for it in losses)
            verdict = "yes" if is_met else "**no**"
            lines.append([attack, verdict, *map(spread, losses), *map(spread, covered)])
    if not lines:
        return ""
    titles = ["attack", f"at most {LOSS_POINTS_MAX:g}?", *(f"lost, {it}" for it in PARTITIONS)]
    titles += [f"lost, {it}, covered" for it in PARTITIONS]
    head = _VERDICTS.format(
        points=LOSS_POINTS_MAX,
        rule=rule,
        topology=JUDGED_TOPOLOGY,
        honest=results.shape["peers"] - results.shape["liars"],
    )
    return f"{head}\n{table(titles, lines)}"


def worst_peers(results: Results, rule: str) -> str:
    """Return what each attack costs the honest peer that fares worst."""
    lines = []
    for attack in results.lies:
        losses = [
            results.losses(rule, attack, (it, JUDGED_TOPOLOGY), of)
            for of in ("worst_accuracy", "worst_covered_accuracy")
            for it in PARTITIONS
        ]
        if any(losses):
            lines.append([attack, *map(spread, losses)])
    if not lines:
        return ""
    titles = ["attack", *(f"worst peer lost, {it}" for it in PARTITIONS)]
    titles += [f"worst covered peer lost, {it}" for it in PARTITIONS]
    overrun = [
        f"{len(results.overrun(JUDGED_TOPOLOGY, it))} with seed {it}" for it in results.seeds
    ]
    head = _WORST.format(topology=JUDGED_TOPOLOGY, overrun=", ".join(overrun))
    return f"{head}\n{table(titles, lines)}"


def distances(results: Results, rule: str) -> str:
    """Return how far honest rows are apart, and the rule's result from their mean."""
    lines = []
    for attack in results.attacks:
        cells = [attack]
        for partition in PARTITIONS:
            runs = [
                results.result(rule, attack, (partition, JUDGED_TOPOLOGY), seed)
                for seed in results.seeds
            ]
            measured = [
                (run["result_error"], run["honest_spread"])
                for run in runs
                if run is not None and run["honest_spread"] is not None
            ]
            if measured:
                errors, spreads = zip(*measured, strict=True)
                cells += [f"{fmean(it):.2f}" for it in (errors, spreads)]
                cells.append(f"{fmean(e * s for e, s in measured):.3f}")
        lines.append(cells)
    titles = ["attack"]
    for partition in PARTITIONS:
        titles += [f"error in spreads, {partition}", f"spread, {partition}", f"error, {partition}"]
    head = _DISTANCES.format(rule=rule, topology=JUDGED_TOPOLOGY)
    return f"{head}\n{table(titles, lines)}"


def ranking(results: Results) -> str:
    """Return the rules in order, with what they cost."""
    titles = ["rule", "worst", *map(", ".join, SETTINGS), "ring, covered", SILENT]
    titles += [f"own kept, {it}" for it in TOPOLOGIES]
    titles += ["liar weight", "false rejections", "false bans", "trigger", "weakest run", "s"]
    lines = []
    for rule in results.ranked():
        runs = results.runs(rule, of=results.lies)
        if not runs:
            continue
        weakest = min(runs, key=lambda run: run["result"]["worst_accuracy"])
        lines.append(
            [
                rule,
                _mean_worst(run for run in runs if setting_of(run)[1] == JUDGED_TOPOLOGY),
                *(_mean_worst(run for run in runs if setting_of(run) == it) for it in SETTINGS),
                _mean_worst(
                    (run for run in runs if setting_of(run)[1] != JUDGED_TOPOLOGY),
                    "worst_covered_accuracy",
                ),
                _mean_worst(results.runs(rule, of=[SILENT])),
                *(
                    mean((run for run in runs if setting_of(run)[1] == it), "kept_own_ratio", 2)
                    for it in TOPOLOGIES
                ),
                mean(runs, "liar_weight"),
                mean(runs, "false_rejected_ratio"),
                mean(runs, "false_ban_ratio"),
                mean(runs, "attack_success"),
                f"{_mean_worst([weakest])}: {weakest['cell']['attack']}, "
                + ", ".join(setting_of(weakest)),
                f"{fmean(run['cpu_seconds'] for run in runs):.2f}",
            ]
        )
    head = _RANKING.format(seed=results.seeds[0], topology=JUDGED_TOPOLOGY, alone=ALONE_RATIO_MIN)
    return f"{head}\n{table(titles, lines)}"


def seeds_of_chosen(results: Results, chosen: Sequence[str]) -> str:
    """Return the accuracies of some rules over all seeds."""
    if len(results.seeds) == 1 or not chosen:
        return ""
    parts = ["## All seeds: mean and worst accuracy\n"]
    for setting in SETTINGS:
        lines = []
        for attack in results.attacks:
            cells = [attack]
            for rule in chosen:
                runs = [results.result(rule, attack, setting, seed) for seed in results.seeds]
                for name in ("mean_accuracy", "worst_accuracy"):
                    cells.append(spread([100.0 * run[name] for run in runs if run]))
            lines.append(cells)
        titles = ["attack", *(title for rule in chosen for title in (f"{rule}, mean", "worst"))]
        parts.append(f"### {', '.join(setting)}\n\n{table(titles, lines)}")
    return "\n".join(parts)


def matrices(results: Results) -> str:
    """Return the whole matrix of the first seed: accuracies, then the weight of the liars."""

    def accuracies(result: Mapping[str, Any]) -> str:
        mark = " *" if result["kept_own_ratio"] >= ALONE_RATIO_MIN else ""
        return f"{shares(result['mean_accuracy'], result['worst_accuracy'])}{mark}"

    def weight(result: Mapping[str, Any]) -> str:
        return "" if result["liar_weight"] is None else f"{result['liar_weight']:.2f}"

    parts = [f"## Every rule under every attack, seed {results.seeds[0]}\n"]
    shown: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("mean / worst accuracy", accuracies),
        ("weight of the liars", weight),
    ]
    for setting in SETTINGS:
        for title, show in shown:
            lines = []
            for rule in results.ranked():
                runs = [
                    results.result(rule, it, setting, results.seeds[0]) for it in results.attacks
                ]
                lines.append([rule, *("" if run is None else show(run) for run in runs)])
            cells = table(["rule", *results.attacks], lines)
            parts.append(f"### {', '.join(setting)}: {title}\n\n{cells}")
    return "\n".join(parts)


def states(results: Results) -> str:
    """Return which runs are of which state of the sources."""
    lines = results.lines()
    counts = Counter(line["sources"] for line in lines).most_common()
    if len(counts) < 2:
        return ""
    parts = [_STATES, f"- `{counts[0][0]}`, {counts[0][1]:,} runs: all that are not named below"]
    for state, count in counts[1:]:
        said, rest = _mostly(lines, state, "attack", "under")
        more, rest = _mostly(rest, state, "rule", "of")
        others = Counter(line["cell"]["rule"] for line in rest if line["sources"] == state)
        of_what = ", ".join(f"`{rule}`" for rule in sorted(others)) if len(others) < 4 else ""
        last = [f"{others.total()} of {of_what or 'other rules'}"] if others else []
        parts.append(f"- `{state}`, {count:,} runs: {', '.join([*said, *more, *last])}")
    return "\n".join([*parts, ""])


def _mostly(
    lines: Sequence[Mapping[str, Any]], state: str, field: str, word: str
) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Name the attacks or rules of which most runs are of a state, and return all other runs."""
    whole = Counter(line["cell"][field] for line in lines)
    have = Counter(line["cell"][field] for line in lines if line["sources"] == state)
    named = [name for name in sorted(have) if 2 * have[name] > whole[name]]
    said = [f"{have[name]} of {whole[name]} {word} `{name}`" for name in named]
    return said, [line for line in lines if line["cell"][field] not in named]


def failures(results: Results) -> list[str]:
    """Return what went wrong, a line per run."""
    return [
        f"- {line['cell']}: {line['result']['error']}"
        for line in results.lines()
        if "error" in line["result"]
    ]


def _mean_worst(runs: Iterable[Mapping[str, Any]], name: str = "worst_accuracy") -> str:
    worsts = [run["result"][name] for run in runs if run["result"][name] is not None]
    return f"{100.0 * fmean(worsts):.1f}" if worsts else ""
