"""docs/robust.md: its examples run, and its tables name every rule."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import robust
from p2pfed.config.files import parse
from p2pfed.config.model import RunConfig
from p2pfed.core import standing
from p2pfed.core.events import GAP
from p2pfed.errors import CodecError, SpecMismatch
from p2pfed.learn import draws
from robust import ReputationStatus, compiled, registry
from robust.registry import accepts
from tests import robust_caps as caps
from tests.docs import robust_parameters

TEXT = (Path(__file__).parents[2] / "docs" / "robust.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _without_rules_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    return TEXT.partition(f"# {title}\n")[2].partition("\n#")[0]


def first_cells(title: str) -> list[str]:
    """Return the names in the first column of a section's tables."""
    return [name for names in first_cells_by_line(title) for name in names]


def first_cells_by_line(title: str) -> list[list[str]]:
    """Return the names in the first column, line by line."""
    lines = re.findall(r"^\| (`.*?) \|", section(title), re.MULTILINE)
    return [re.findall(r"`([a-z-]+)\+?`", line) for line in lines]


def test_examples_do_what_they_say() -> None:
    names: dict[str, Any] = {}
    alone, ranks, strangers, loop, restored = blocks("python")
    exec(alone, names)  # noqa: S102  # the guide's own text
    assert names["center"].tolist() == pytest.approx([1.1, 2.0], abs=0.1)
    assert sum(names["found"].coefficients.tolist()) == pytest.approx(1.0)
    exec(ranks, names)  # noqa: S102
    assert names["elected"].tolist() == [0, 1, 2, 3]
    exec(strangers, names)  # noqa: S102
    reasons = {verdict.peer: verdict.reason for verdict in names["result"].verdicts}
    assert reasons["carl"] == robust.Reason.NOT_FINITE
    assert reasons["dora"] == robust.Reason.NORM_CAP
    exec(loop, names)  # noqa: S102
    assert names["gate"].rejected(names["peers"]) == ("dora",)
    status = {peer: names["ledger"].status(peer, 39) for peer in names["peers"]}
    assert status.pop("dora") == robust.ReputationStatus.BANNED
    assert set(status.values()) == {robust.ReputationStatus.ESTABLISHED}
    before = names["ledger"], names["gate"]
    exec(restored, names)  # noqa: S102
    after = names["ledger"], names["gate"]
    assert all(new is not old for new, old in zip(after, before, strict=True))
    assert [it.snapshot() for it in after] == [it.snapshot() for it in before]
    assert names["own"].tolist() == pytest.approx(names["right"].tolist(), abs=0.2)


def test_tables_name_every_rule_and_pre_aggregation() -> None:
    named = first_cells("Rules")
    assert sorted(named) == sorted([*robust.names(), *robust.pre_aggregation_names()])


@pytest.mark.parametrize("name", [*robust.names(), *robust.pre_aggregation_names()])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_rows_needed_are_those_of_the_classes(name: str, count: int) -> None:
    (line,) = [it for it in section("Rules").splitlines() if it.startswith(f"| `{name}` |")]
    formula = line.split(" | ")[2].partition(";")[0]
    needed = 1
    for number in re.findall(r"\d+|[fs]", formula.partition("+")[0]):
        needed *= {"f": count, "s": 2}.get(number) or int(number)
    needed += int(formula.partition("+")[2] or 0)
    rule = name if name in robust.names() else f"{name}+mean"
    given = {"evaluate": lambda _: 0.0, "seed": 1}
    if name == "clipping":  # it has no other rows_min with another radius
        given["radius"] = 1.0
    known = {key: value for key, value in given.items() if accepts(rule, key)}
    assert robust.create(rule, byzantine_count=count, **known).rows_min == needed


def test_parameters_are_those_of_the_classes() -> None:
    lines = [line for line in section("Parameters").splitlines() if line.startswith("|")]
    assert lines == robust_parameters.table(), "run python -m tests.docs.robust_parameters"


def test_every_parameter_says_what_it_means() -> None:
    for line in robust_parameters.table()[len(robust_parameters.HEAD) :]:
        _, _, _, _, meaning, _ = line.split("|")
        assert re.fullmatch(r" .{6,}\. ", meaning)


def test_every_reason_has_a_line() -> None:
    of_a_node = [
        "stranger",
        "unproven",
        "worthless",
        "banned",
        "loss-gate",
        "gap",
        "mismatch",
        "codec",
    ]
    assert first_cells("Verdicts") == [*map(str, robust.Reason), *of_a_node]
    having_mass = {ReputationStatus.NEWCOMER, ReputationStatus.ESTABLISHED}
    assert set(ReputationStatus) - having_mass <= set(of_a_node)
    kinds = {SpecMismatch.kind, CodecError.kind, GAP, standing._TURNED_AWAY}
    assert kinds <= set(of_a_node)


@pytest.mark.parametrize("line", [it for it in TEXT.splitlines() if " there | " in it])
def test_bounds_of_caps_are_those_tried(line: str) -> None:
    named = re.findall(r"`([a-z-]+)`", line.split("|")[1])
    found = max(caps.largest_part(name) for name in named if name in robust.names())
    assert float(line.split("|")[3]) == pytest.approx(found, abs=0.005)


def test_rules_that_keep_caps_are_those_tried() -> None:
    exact, averaging, trimming, *_ = first_cells_by_line("What mass caps bound")
    assert tuple(exact) == caps.EXACT
    assert set(averaging) - {"nnm"} == {it for it in caps.AVERAGING if "+" not in it}
    assert tuple(trimming) == caps.TRIMMING


def test_other_rules_have_no_larger_part_than_the_table_says() -> None:
    named = first_cells("What mass caps bound")
    others = [name for name in caps.RULES if name not in named]
    (line,) = (it for it in section("What mass caps bound").splitlines() if "the others" in it)
    found = max(caps.largest_part(name) for name in others)
    assert float(line.split("|")[3]) == pytest.approx(found, abs=0.005)


def test_figures_in_the_text_are_those_of_the_code() -> None:
    policy, gate = robust.ReputationPolicy(), robust.LossGatePolicy()
    assert "newcomers count half at most and a fifth together" in flat()
    assert (policy.probation_share_max, policy.probation_mass_max) == (0.5, 0.2)
    assert "below a third of the others" in flat()
    assert policy.ban_ratio == pytest.approx(1 / 3)
    assert "a first ban ends after ten rounds" in flat()
    assert policy.ban_rounds_first == 10
    assert "in each round two neighbors' rows are tried out on eight fresh rows" in flat()
    assert (gate.probe_count, draws._PROBE_ROWS) == (2, 8)
    assert "From ten trials on" in flat()
    assert gate.scores_min == 10
    assert "2^18 values or more and up to 32 rows" in flat()
    assert "makes no more than 32" in flat()
    found = (compiled.COLUMNS_MIN, compiled.ROWS_MAX, compiled.LOOPS_MAX)
    assert found == (2**18, 32, 32)


def flat() -> str:
    return " ".join(TEXT.split())


def test_run_file_is_one() -> None:
    (block,) = blocks("toml")
    config = parse(tomllib.loads(block))
    assert config.integration.rule == "nnm+trimmed-mean"
    assert not config.reputation.enabled
    assert config.integration.prioritizer == RunConfig().integration.prioritizer


def test_run_files_and_integrators_default_to_the_same_rule() -> None:
    assert parse({}).integration.rule == robust.Integrator().rule


def test_run_files_and_prioritizers_have_the_same_defaults() -> None:
    table = parse({}).integration.prioritizer.model_dump(exclude={"enabled"})
    known = {field.name: field.default for field in fields(robust.DistancePrioritizer)}
    assert table == {name: value for name, value in known.items() if name != "seed"}
