"""Rules that are functions of one's own: their names, what they are given and may return."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
from robust import registry
from robust.function_rule import WEIGHTS_UNKNOWN

ROWS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def first(vectors: Tensor) -> Tensor:
    return vectors[0]


def chosen(
    vectors: Tensor, own: Tensor, byzantine_count: int, row: int = 0
) -> tuple[Tensor, list[float]]:
    assert torch.equal(own, vectors[0])
    assert byzantine_count == 1
    weights = [0.0] * len(vectors)
    weights[row] = 1.0
    return vectors[row], weights


def test_a_registered_function_is_a_rule_by_its_name() -> None:
    robust.register("chosen", chosen)
    assert "chosen" in robust.names()
    rule = robust.create("chosen", byzantine_count=1, row=2)
    found = rule.aggregate(ROWS, own=ROWS[0])
    assert found.vector.tolist() == [5.0, 9.0]
    assert found.coefficients.tolist() == [0.0, 0.0, 1.0]
    assert torch.equal(rule(ROWS, own=ROWS[0]), found.vector)


def test_it_works_behind_a_pre_aggregation() -> None:
    robust.register("first", first)
    found = robust.create("nnm+first", byzantine_count=1).aggregate(ROWS)
    assert found.vector.tolist() == [2.0, 3.0]
    assert found.coefficients.tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 6])


def test_an_integrator_gives_it_f_and_its_parameters() -> None:
    robust.register("chosen", chosen)
    rows = [robust.Row("anna", ROWS[1]), robust.Row("bert", ROWS[2])]
    integrator = robust.Integrator("chosen", norm_cap_ratio=None, params={"row": 1})
    result = integrator.integrate(ROWS[0], rows)
    assert sorted(verdict.weight for verdict in result.verdicts) == [0.0, 1.0]


def test_rows_come_in_the_order_of_their_keys() -> None:
    robust.register("first", first)
    rule = robust.create("first")
    assert rule(ROWS, keys=["c", "a", "b"]).tolist() == [3.0, 4.0]


def test_weights_are_said_of_the_rows_as_they_were_given() -> None:
    robust.register("weighed", lambda vectors: (vectors[0], [1.0, 0.0, 0.0]))
    found = robust.create("weighed").aggregate(ROWS, keys=["c", "a", "b"])
    assert found.coefficients.tolist() == [0.0, 1.0, 0.0]
    assert found.note == ""


def test_a_vector_alone_says_equal_weights_of_all_rows() -> None:
    robust.register("first", first)
    found = robust.create("first").aggregate(ROWS)
    assert found.coefficients.tolist() == pytest.approx([1 / 3] * 3)
    assert found.note == WEIGHTS_UNKNOWN
    assert robust.create("nnm+first", byzantine_count=1).aggregate(ROWS).note == WEIGHTS_UNKNOWN
    rows = [robust.Row("anna", ROWS[1])]
    assert robust.Integrator("first").integrate(ROWS[0], rows).note == WEIGHTS_UNKNOWN


def test_it_cannot_change_the_rows_of_its_caller() -> None:
    robust.register("rude", lambda vectors, own: vectors.zero_()[0] + own.zero_())
    before = ROWS.clone()
    robust.create("rude")(ROWS, own=ROWS[0])
    assert torch.equal(ROWS, before)


def test_half_types_are_summed_in_float32_and_returned_as_they_came() -> None:
    seen = []
    robust.register("typed", lambda vectors: seen.append(vectors.dtype) or vectors[0])
    assert robust.create("typed")(ROWS.half()).dtype == torch.float16
    assert seen == [torch.float32]


def test_one_that_wants_more_rows_keeps_the_own_vector() -> None:
    def of_five(vectors: Tensor) -> Tensor:
        if len(vectors) < 5:
            raise robust.InfeasibleError(f"{len(vectors)} rows, and five are needed")
        return vectors.mean(0)

    robust.register("of-five", of_five)
    with pytest.raises(robust.InfeasibleError, match="3 rows, and five are needed"):
        robust.create("of-five").aggregate(ROWS)
    result = robust.Integrator("of-five").integrate(ROWS[0], [robust.Row("anna", ROWS[1])])
    assert result.kept_own
    assert "2 rows, and five are needed" in result.note


def test_nan_keeps_the_own_vector() -> None:
    robust.register("broken", lambda vectors: vectors[0] / 0.0 * 0.0)
    result = robust.Integrator("broken").integrate(ROWS[0], [robust.Row("anna", ROWS[1])])
    assert result.kept_own
    assert "rule 'broken' returned NaN or infinity" in result.note


@pytest.mark.parametrize(
    ("combine", "said"),
    [
        (lambda vectors: vectors.tolist().clear(), "returned None"),
        (lambda vectors: vectors, r"returned shape \(3, 2\): let it return \(2,\)"),
        (lambda vectors: vectors[0].long(), "returned tensor of torch.int64"),
        (lambda vectors: (vectors[0], [1.0]), r"returned weights \[1.0\]: let it return 3"),
        (lambda vectors: (vectors[0], [1.0] * 3), "sum to at most 1"),
        (lambda vectors: (vectors[0], [-1.0, 1.0, 1.0]), "none below 0"),
        (lambda vectors: (vectors[0], [float("nan")] * 3), "none below 0"),
    ],
)
def test_what_it_must_not_return(combine: Callable[..., Any], said: str) -> None:
    robust.register("wrong", combine)
    with pytest.raises(robust.RuleError, match=f"rule 'wrong' {said}|rule 'wrong' .*{said}"):
        robust.create("wrong")(ROWS)


@pytest.mark.parametrize("name", ["mean", "nnm", "first"])
def test_taken_names_are_refused(name: str) -> None:
    robust.register("first", first)
    with pytest.raises(robust.RuleError, match=f"rule '{name}' is there already"):
        robust.register(name, chosen)


@pytest.mark.parametrize("name", ["", "My Rule", "a+b", "a:b", "1st", "x" * 65])
def test_names_that_no_run_file_could_hold_are_refused(name: str) -> None:
    with pytest.raises(robust.RuleError, match="cannot be a name; write small letters"):
        robust.register(name, first)


def test_a_function_defined_again_replaces_the_earlier_one() -> None:
    def make(row: int) -> Callable[[Tensor], Tensor]:
        def picked(vectors: Tensor) -> Tensor:
            return vectors[row]

        return picked

    robust.register("picked", make(0))
    robust.register("picked", make(2))
    assert robust.create("picked")(ROWS).tolist() == [5.0, 9.0]


@pytest.mark.parametrize("combine", [3, torch.nn.Linear, lambda: None, lambda *rows: rows])
def test_what_cannot_be_called_with_rows_is_refused(combine: Any) -> None:
    with pytest.raises(robust.RuleError, match=r"(is no function|cannot be called); "):
        robust.register("wrong", combine)


def test_its_parameters_are_checked_as_those_of_other_rules() -> None:
    def shared(vectors: Tensor, share: float) -> Tensor:
        return vectors[0] * share

    robust.register("shared", shared)
    with pytest.raises(robust.RuleError, match=r"missing \['share'\]"):
        robust.create("shared")
    with pytest.raises(robust.RuleError, match=r"unknown \['chare'\]"):
        robust.create("shared", share=1.0, chare=1.0)
    with pytest.raises(robust.RuleError, match="share='all' is not a number"):
        robust.create("shared", share="all")


def test_an_integrator_says_how_a_function_gets_a_name() -> None:
    with pytest.raises(robust.RuleError, match=r"give it a name first: robust\.register"):
        robust.Integrator(first)  # type: ignore[arg-type]


def test_an_error_of_its_own_is_told_with_rule_and_line() -> None:
    def divide(vectors: Tensor) -> Tensor:
        return vectors[0] * (1 // 0)

    robust.register("divide", divide)
    line = divide.__code__.co_firstlineno + 1
    said = rf"rule 'divide' failed, mend .*test_function_rules\.py:{line}: ZeroDivisionError: "
    with pytest.raises(robust.RuleError, match=said):
        robust.create("divide")(torch.ones(3, 2))
