"""What the texts say of the attack matrix is what its CSV file holds."""

from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

import robust
from benchmarks.attack_cells import PARTITIONS
from benchmarks.attack_matrix import ALSO
from benchmarks.attack_report import document
from benchmarks.attack_results import JUDGED_TOPOLOGY, Results, results_of
from benchmarks.attack_summary import Record, nearly_best, record_of, scope

DOCS = Path(__file__).parents[2] / "docs"
SHAPE = {"peers": 16, "liars": 4, "rounds": 30}
DEFAULT = str(robust.Integrator().rule)


def flat(name: str) -> str:
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


@cache
def results() -> Results:
    table = (DOCS / "results" / "attack-matrix.csv").read_text(encoding="utf-8")
    return results_of(table, SHAPE)


def record(rule: str, partition: str) -> Record:
    found = record_of(results(), rule, partition)
    assert found is not None
    return found


def lost(rule: str, attack: str, of: str = "mean_accuracy") -> tuple[str, str]:
    """Return what an attack costs, mean over the seeds, with equal and with skewed data."""
    equal, skewed = (
        fmean(results().losses(rule, attack, (it, JUDGED_TOPOLOGY), of)) for it in PARTITIONS
    )
    return f"{equal:.1f}", f"{skewed:.1f}"


@pytest.mark.slow
def test_the_tables_are_made_of_the_file() -> None:
    text = (DOCS / "results" / "attack-matrix.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if " processes of one thread." in line)
    assert document(results(), DEFAULT, line.partition(" Seeds ")[0]) == text


def test_what_is_to_be_run_with_all_seeds_was() -> None:
    assert {DEFAULT, *ALSO} <= set(results().chosen(DEFAULT))


@pytest.mark.parametrize("name", ["robust.md", "design.md"])
def test_the_texts_say_how_much_was_run(name: str) -> None:
    assert scope(results(), DEFAULT) in flat(name)


def test_the_guide_names_the_rules_that_are_as_good_as_the_best() -> None:
    best = nearly_best(results())
    named = ", ".join(f"`{rule}`" for rule, _ in best)
    assert f"{named} are within half a point of the best worst accuracy" in flat("robust.md")
    assert f"({best[0][1]:.1f} to {best[-1][1]:.1f}, seed 0)" in flat("robust.md")


def test_the_decision_counts_what_each_rule_loses() -> None:
    parts = []
    for rule in results().chosen(DEFAULT):
        equal, skewed = (record(rule, it) for it in PARTITIONS)
        largest = max(equal.largest, skewed.largest)
        parts.append(f"`{rule}` {len(equal.above)} and {len(skewed.above)}, {largest:.1f}")
    assert "; ".join(parts) in flat("design.md")


def test_the_guide_says_how_many_attacks_the_default_bears() -> None:
    equal, skewed = (record(DEFAULT, it) for it in PARTITIONS)
    count = len(set(equal.above) | set(skewed.above))
    attacks = len(results().lies)
    assert f"under {attacks - count} of {attacks} attacks" in flat("robust.md")
    largest = max(equal.largest, skewed.largest)
    others = [
        max(record(rule, it).largest for it in PARTITIONS)
        for rule in results().chosen(DEFAULT)
        if rule != DEFAULT and "@" not in rule
    ]
    assert (
        f"{largest:.1f} points, where the others lose {min(others):.1f} to {max(others):.1f}"
        in flat("robust.md")
    )
    below = [it for it in results().lies if it not in equal.above and it not in skewed.above]
    single = max(
        loss
        for attack in below
        for it in PARTITIONS
        for loss in results().losses(DEFAULT, attack, (it, JUDGED_TOPOLOGY))
    )
    assert f"single seeds lose up to {single:.1f} where the mean stays below 3" in flat("robust.md")


def test_the_guide_says_what_the_worst_peer_loses() -> None:
    equal, skewed = lost(DEFAULT, "adaptive", "worst_accuracy")
    assert f"it loses {equal} points with equal and {skewed} with skewed data" in flat("robust.md")
    setting = ("iid", JUDGED_TOPOLOGY)
    single = max(results().losses(DEFAULT, "adaptive", setting, "worst_accuracy"))
    assert f"up to {single:.1f} in one" in flat("robust.md")
    attacks = ("sign-flip", "sleeper", "inner-product", "dissensus")
    flip, sleeper, product, dissensus = (lost(DEFAULT, it, "worst_accuracy")[1] for it in attacks)
    assert (
        f"`sign-flip` {flip}, `sleeper` {sleeper}, `inner-product` {product} and "
        f"`dissensus` {dissensus}" in flat("robust.md")
    )
    of = "worst_covered_accuracy"
    covered = (lost(DEFAULT, it, of)[1] for it in attacks)
    assert "The worst of the others loses {}, {}, {} and {} points".format(*covered) in flat(
        "robust.md"
    )
    equal, skewed = lost(DEFAULT, "adaptive", of)
    single = max(results().losses(DEFAULT, "adaptive", ("dirichlet", JUDGED_TOPOLOGY), of))
    assert f"{equal} and {skewed} to `adaptive` (up to {single:.1f}," in flat("robust.md")
    overrun = sum(len(results().overrun(JUDGED_TOPOLOGY, it)) for it in results().seeds)
    honest = len(results().seeds) * (SHAPE["peers"] - SHAPE["liars"])
    assert f"{overrun} of {honest} over the five seeds" in flat("robust.md")


def test_the_guide_says_where_other_rules_lose_less_and_more() -> None:
    text = flat("robust.md")
    min_max, min_sum, adaptive = (
        lost("fltrust", it)[1] for it in ("min-max", "min-sum", "adaptive")
    )
    assert f"`min-max` and `min-sum` ({min_max} and {min_sum}) and {adaptive} to" in text
    trusting, default = (record(it, "dirichlet") for it in ("fltrust", DEFAULT))
    assert (
        f"{trusting.mean_accuracy:.1f} and that of its worst peers {trusting.worst_accuracy:.1f}, "
        f"where the default has {default.mean_accuracy:.1f} and {default.worst_accuracy:.1f}"
        in text
    )
    trusting, default = (record(it, "iid") for it in ("fltrust", DEFAULT))
    assert (
        f"With equal data it is {trusting.mean_accuracy:.1f} against {default.mean_accuracy:.1f}"
        in text
    )
    attacks = ("dissensus", "fang", "label-flip")
    equal, skewed = zip(*(lost("fltrust", it) for it in attacks), strict=True)
    assert "they cost it {}, {} and {} points with skewed data".format(*skewed) in text
    assert "and {}, {} and {} with equal data".format(*equal) in text
    _, default_skewed = zip(*(lost(DEFAULT, it) for it in attacks), strict=True)
    assert "(the default {}, {} and {})".format(*default_skewed) in text
    min_max, min_sum, adaptive = (lost("caf", it)[1] for it in ("min-max", "min-sum", "adaptive"))
    assert f"`caf` loses {min_max} points to `min-max`" in text
    assert f"`min-sum` and `adaptive` ({min_sum} and {adaptive})" in text


def test_the_guide_says_what_a_ledger_adds() -> None:
    text = flat("robust.md")
    with_ledger = f"{DEFAULT}@ledger"
    for partition, words in (("iid", "equal"), ("dirichlet", "skewed")):
        plain, ledger = (record(it, partition) for it in (DEFAULT, with_ledger))
        assert (
            f"with {words} data {ledger.mean_accuracy:.1f} and {ledger.worst_accuracy:.1f} instead "
            f"of {plain.mean_accuracy:.1f} and {plain.worst_accuracy:.1f}" in text
        )
    largest = max(record(with_ledger, it).largest for it in PARTITIONS)
    assert f"Its largest loss is {largest:.1f} points" in text
    sleeper = f"{lost(with_ledger, 'sleeper')[1]} instead of {lost(DEFAULT, 'sleeper')[1]} points"
    assert f"`sleeper` costs {sleeper} with skewed data" in text
