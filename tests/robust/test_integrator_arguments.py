"""The integrator: which mistakes of its caller it names, and how."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
from robust import Integrator, Row


@pytest.mark.parametrize(
    ("own", "genesis", "complaint"),
    [
        (torch.tensor([math.nan]), None, "own"),
        (torch.tensor([math.inf]), None, "own"),
        (torch.tensor([[1.0]]), None, "own of shape"),
        (torch.tensor([]), None, "own of shape"),
        (torch.tensor([1]), None, "int64"),
        (torch.tensor([1.0]), torch.tensor([1.0, 2.0]), "genesis"),
        (torch.tensor([1.0]), torch.tensor([1.0]).double(), "genesis"),
        (torch.tensor([1.0]), torch.tensor([math.nan]), "genesis"),
        (torch.tensor([1.0]).to_sparse(), None, "own .* is not dense"),
        (torch.tensor([1.0]), torch.tensor([1.0]).to_sparse(), "genesis .* is not dense"),
        ([1.0], None, "own: list is not a tensor"),
    ],
)
def test_mistakes_of_the_caller_raise(own: Tensor, genesis: Tensor | None, complaint: str) -> None:
    with pytest.raises(robust.InputError, match=complaint):
        Integrator().integrate(own, [], genesis=genesis)


@pytest.mark.parametrize(
    ("given_weights", "complaint"),
    [
        ([0.6, 0.6], "sum to 1.2"),
        ([0.5, None], "all or none"),
        ([-0.1, 0.5], r"\[0, 1\]"),
        ([math.nan, 0.5], r"\[0, 1\]"),
        ([1e308, 1e308], r"\[0, 1\]"),
    ],
)
def test_wrong_weights_raise(given_weights: list[float | None], complaint: str) -> None:
    rows = [Row(f"{index}", torch.ones(1), weight) for index, weight in enumerate(given_weights)]
    with pytest.raises(robust.InputError, match=complaint):
        Integrator().integrate(torch.ones(1), rows)


class Elsewhere(Tensor):
    """A tensor that says that it is on a device which this machine may not have."""

    device = torch.device("cuda:0")


def test_row_on_another_device_raises() -> None:
    with pytest.raises(robust.InputError, match="on cuda:0, own on cpu"):
        Integrator().integrate(torch.ones(1), [Row("a", torch.ones(1).as_subclass(Elsewhere))])


@pytest.mark.parametrize(
    "rows",
    [
        None,
        3,
        "rows",
        [torch.ones(1)],
        [Row("", torch.ones(1))],
        [Row(b"", torch.ones(1))],
        [Row(3, torch.ones(1))],  # type: ignore[type-var]
        [Row(None, torch.ones(1))],  # type: ignore[type-var]
    ],
    ids=lambda value: str(value)[:20],
)
def test_rows_that_are_nobodys_raise(rows: Any) -> None:
    with pytest.raises(robust.InputError, match="row"):
        Integrator().integrate(torch.ones(1), rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("round", it) for it in (-1, 2**64, 1.5, "1", None, True, 2**200)),
        *(("progress", it) for it in (-0.1, 1.1, math.nan, "0.5", None, True, 2**200)),
    ],
)
def test_time_out_of_range_raises(name: str, value: Any) -> None:
    with pytest.raises(robust.InputError, match=f"{name}="):
        Integrator().integrate(torch.ones(1), [Row("peer 0", torch.ones(1))], **{name: value})


def test_last_round_is_integrated() -> None:
    integration = Integrator("mean").integrate(
        torch.ones(1), [Row("peer 0", torch.tensor([3.0]))], round=2**64 - 1, progress=1
    )
    assert integration.vector.tolist() == [2.0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"rule": "krun"},
        {"beta_max": 0.5},
        {"norm_cap_ratio": 0.9},
        {"norm_cap_ratio": math.nan},
        {"gamma": 0.0},
        {"gamma": 1.5},
        {"seed": -1},
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(robust.RuleError):
        Integrator(**parameters)
