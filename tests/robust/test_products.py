"""Rows whose lengths or inner products are beyond float64 cost only their own sender."""

import math

import pytest
import torch
from torch import Tensor

from robust import InputError, Integrator, Reason, Row

RULES = ("nnm+trimmed-mean", "self-centered-clipping", "krum", "geometric-median")


def plain(drifts: Tensor) -> Tensor:
    return drifts @ drifts.T


def reasons(rows: list[Row], own: Tensor, **given: object) -> dict[str, Reason]:
    found = Integrator(**given).integrate(own, rows)
    return {str(verdict.peer): verdict.reason for verdict in found.verdicts}


# Nobody has moved yet, so that no median of lengths sets a scale, and then everybody has.
@pytest.mark.parametrize("home", [0.0, 1.0])
@pytest.mark.parametrize("gram", [None, plain])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cap", [None, 3.0])
def test_one_row_beyond_squares_costs_only_its_sender(
    rule: str, gram: object, home: float, cap: float | None
) -> None:
    own = torch.full((4,), home, dtype=torch.float64)
    rows = [Row(name, own.clone()) for name in "abcdef"]
    rows.append(Row("liar", torch.full((4,), 1e200, dtype=torch.float64)))
    integrator = Integrator(rule, gram=gram, norm_cap_ratio=cap, observes=True)
    found = integrator.integrate(own, rows)
    assert not found.kept_own
    assert {it.peer: it.reason for it in found.verdicts}["liar"] is Reason.NOT_FINITE
    assert found.observations["liar"].validity == 0.0
    assert found.observations["a"].agreement == pytest.approx(home)


def test_row_whose_product_overflows_in_the_callers_type_is_rejected_by_name() -> None:
    own = torch.zeros(4)
    rows = [Row(name, torch.ones(4)) for name in "abc"] + [Row("liar", torch.full((4,), 1e25))]
    found = reasons(rows, own, gram=plain)
    assert found.pop("liar") is Reason.NOT_FINITE
    assert Reason.NOT_FINITE not in found.values()
    assert Reason.NOT_INTEGRATED not in found.values()


@pytest.mark.parametrize("entry", [math.inf, math.nan])
def test_row_without_a_product_with_own_is_rejected_by_name(entry: float) -> None:
    def measure(drifts: Tensor) -> Tensor:
        products = plain(drifts)
        products[0, -1] = products[-1, 0] = entry
        return products

    rows = [Row(name, torch.ones(2)) for name in "abcd"]
    assert reasons(rows, torch.ones(2), rule="mean", gram=measure) == {
        **dict.fromkeys("abc", Reason.ACCEPTED),
        "d": Reason.NOT_FINITE,
    }


@pytest.mark.parametrize("observes", [False, True])
@pytest.mark.parametrize("place", [(1, 2), (0, 0)])
def test_own_is_kept_where_nobody_can_be_blamed(place: tuple[int, int], observes: bool) -> None:
    def measure(drifts: Tensor) -> Tensor:
        products = plain(drifts)
        products[place] = products[place[::-1]] = math.inf
        return products

    own, rows = torch.ones(2), [Row(name, torch.full((2,), 1.5)) for name in "abc"]
    found = Integrator(gram=measure, observes=observes).integrate(own, rows)
    assert torch.equal(found.vector, own)
    assert "inner products by gram= are beyond" in found.note


def test_rounding_of_a_hostile_product_is_nobodys_mistake() -> None:
    def measure(drifts: Tensor) -> Tensor:
        products = plain(drifts)
        products[-1, -1] = -1e9
        products[-1, 1] += 1e6
        return products

    rows = [Row(name, torch.ones(2)) for name in "abcd"]
    assert not Integrator(gram=measure).integrate(torch.ones(2), rows).kept_own


def test_products_are_asked_for_once() -> None:
    calls = []

    def measure(drifts: Tensor) -> Tensor:
        calls.append(len(drifts))
        return plain(drifts)

    rows = [Row(name, torch.ones(2)) for name in "abc"] + [Row("nan", torch.full((2,), math.nan))]
    Integrator(gram=measure, observes=True).integrate(torch.ones(2), rows)
    assert calls == [4]


def test_products_of_another_shape_are_the_callers_fault() -> None:
    rows = [Row(name, torch.ones(2)) for name in "abc"]
    with pytest.raises(InputError, match=r"gram of shape \(2, 2\) for 4 rows"):
        Integrator(gram=lambda drifts: plain(drifts)[:2, :2]).integrate(torch.ones(2), rows)


def test_own_row_beyond_squares_rejects_nobody() -> None:
    own = torch.full((2,), 1e200, dtype=torch.float64)
    found = reasons([Row("a", own * 1.1)], own, rule="mean")
    assert found == {"a": Reason.ACCEPTED}


RANK, SIDE = 2, 6
FIRST = torch.randn(RANK, SIDE, generator=torch.Generator().manual_seed(0))
START = torch.cat([torch.zeros(SIDE * RANK), FIRST.flatten()])


def adapter(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([left.flatten(), right.flatten()])


def product(vector: Tensor) -> Tensor:
    left, right = vector[: SIDE * RANK].view(SIDE, RANK), vector[SIDE * RANK :].view(RANK, SIDE)
    return (left @ right).flatten().double()


def by_products(drifts: Tensor) -> Tensor:
    changes = torch.stack([product(drift + START) for drift in drifts])
    return changes @ changes.T


def verdict_beside_honest_adapters(vector: Tensor, **changes: object) -> str:
    generator = torch.Generator().manual_seed(1)
    left = 0.1 * torch.randn(SIDE, RANK, generator=generator)
    own, *others = (
        adapter(
            left + 0.01 * torch.randn(SIDE, RANK, generator=generator),
            FIRST + 0.01 * torch.randn(RANK, SIDE, generator=generator),
        )
        for _ in range(7)
    )
    rows = [Row(f"peer {index}", each) for index, each in enumerate(others)] + [Row("it", vector)]
    found = Integrator("mean", **{"gram": by_products, **changes})
    verdicts = found.integrate(own, rows, genesis=START).verdicts
    return next(str(verdict.reason) for verdict in verdicts if verdict.peer == "it")


def aligned(length: float) -> Tensor:
    """Return an adapter whose left factor is along what the right one amplifies most."""
    directions = torch.linalg.svd(FIRST).U
    left = torch.ones(SIDE, 1) @ directions[:, :1].T
    return adapter(left * (length / left.norm()), FIRST)


def test_usual_factors_of_an_unusually_long_change_are_beyond_the_cap() -> None:
    vector = aligned(0.7)
    assert verdict_beside_honest_adapters(vector) == "norm-cap"
    assert verdict_beside_honest_adapters(vector, gram=None) == "accepted"


def test_huge_factors_of_a_usual_change_are_beyond_the_cap() -> None:
    vector = adapter(20.0 * torch.full((SIDE, RANK), 0.1), FIRST / 20.0)
    assert verdict_beside_honest_adapters(vector) == "norm-cap"
    assert verdict_beside_honest_adapters(vector, norm_cap_ratio=None) == "accepted"
