"""Attacks that use who sits where, when it is, and what was said before."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from p2pfed.errors import ConfigError
from sim.adversaries.attacks import create_attack
from sim.adversaries.view import View


def gossip(view: View, lie: Tensor) -> Tensor:
    """Mix as the target does: x + sum over all neighbors of W (x_j - x)."""
    own = view.honest[0]
    pull = view.honest_weights @ (view.honest - own)
    return own + pull + view.byzantine_weight * (lie - own)


def test_dissensus_cancels_mixing(make_view: Any, random_rows: Any) -> None:
    rows = random_rows(4, 9)
    view = make_view(
        rows,
        honest_weights=torch.tensor([0.4, 0.1, 0.2, 0.05], dtype=torch.float64),
        byzantine_weight=0.25,
        byzantine_count=3,
    )
    moved = gossip(view, rows[0]) - rows[0]
    for epsilon, share in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (2.0, -1.0)):
        lie = create_attack("dissensus", epsilon=epsilon)(view)
        left = gossip(view, lie) - rows[0]
        torch.testing.assert_close(left, share * moved, rtol=1e-12, atol=1e-12)
    assert float(moved.norm()) > 0.1  # without the lie it would have moved


def test_dissensus_without_weight_sends_the_own_row(make_view: Any, random_rows: Any) -> None:
    view = make_view(random_rows(3, 5), byzantine_weight=0.0)
    assert torch.equal(create_attack("dissensus")(view), view.honest[0])


@pytest.mark.parametrize("name", ["mimic", "mimic-variance"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_mimic_sends_an_honest_row(make_view: Any, random_rows: Any, name: str, count: int) -> None:
    view = make_view(random_rows(count, 6))
    lie = create_attack(name)(view)
    assert any(torch.equal(lie, row) for row in view.honest)


def test_mimic_takes_the_row_that_it_is_told(make_view: Any) -> None:
    view = make_view([[0.0], [1.0], [2.0]])
    assert [create_attack("mimic", row=row)(view).item() for row in (0, 1, 2, 9)] == [0, 1, 2, 2]


def test_mimic_finds_the_direction_of_most_variance(make_view: Any) -> None:
    # Deviations from the mean (0, 0): the first axis has variance 18 + 2, the second 8; along the
    # first the row (3, 0) stands out most, though (0, 2) and (0, -2) differ in the second.
    rows = [[-1.5, 2.0], [-1.5, -2.0], [3.0, 0.0]]
    assert create_attack("mimic-variance")(make_view(rows)).tolist() == [3.0, 0.0]


def test_mimic_copies_the_same_peer_while_data_differ(make_view: Any, random_rows: Any) -> None:
    leanings = random_rows(6, 30)
    chosen = set()
    for number in range(1, 20):
        rows = number * leanings + 0.3 * random_rows(6, 30, seed=number)
        lie = create_attack("mimic-variance")(make_view(rows))
        chosen.add(int((rows == lie).all(dim=1).nonzero()[0]))
    assert len(chosen) == 1


def test_sleeper_is_honest_until_its_round(make_view: Any) -> None:
    view = make_view([[1.0], [3.0]])
    attack = create_attack("sleeper+sign-flip", first_round=5)
    sent = [attack(replace(view, round=number)).item() for number in range(8)]
    assert sent == [3.0] * 5 + [-3.0] * 3
    assert create_attack("sleeper", first_round=5) == attack  # sign-flip is the default


def test_sybils_say_the_same_though_each_would_say_something_else(make_view: Any) -> None:
    view = make_view([[1.0, 2.0, 3.0]] * 3, round=4)
    others = [replace(view, own=number * torch.ones(3).double()) for number in range(4)]
    copies = [create_attack("sybil+noise", on_own=True)(other) for other in others]
    assert all(torch.equal(copy, copies[0]) for copy in copies)
    single = [create_attack("noise", on_own=True)(other) for other in others]
    assert not torch.equal(single[0], single[1])
    aged = [replace(it, own_history=(it.own,), history=(view.own,)) for it in others]
    assert all(torch.equal(create_attack("sybil+stale-own")(it), view.own) for it in aged)
    # Another round, another lie; and a spread keeps them close, but not equal.
    later = create_attack("sybil+noise")(replace(view, round=5))
    assert not torch.equal(later, create_attack("sybil+noise")(view))
    near = [create_attack("sybil+noise", spread=1e-3)(other) for other in others]
    assert 0.0 < float((near[0] - near[1]).abs().max()) < 0.02


def test_free_riders_live_on_what_others_did(make_view: Any) -> None:
    history = tuple(torch.tensor([value], dtype=torch.float64) for value in (1.0, 2.0, 4.0))
    before = torch.tensor([[6.0], [8.0]], dtype=torch.float64)
    view = make_view([[7.0], [9.0]], history=history, honest_before=before)
    new = replace(view, history=())
    # 4 + (4 - 2), or where the honest rows were, (6 + 8) / 2.
    assert create_attack("delta-free-rider", deviation=0.0)(view).item() == 6.0
    assert create_attack("delta-free-rider", deviation=0.0)(new).item() == 7.0
    assert create_attack("delta-free-rider")(view).item() == pytest.approx(6.0, abs=0.01)
    one = replace(view, history=history[:1])
    assert create_attack("delta-free-rider", deviation=0.0)(one).item() == 1.0
    assert [create_attack("stale", age=age)(view).item() for age in (1, 3, 9)] == [4.0, 1.0, 1.0]
    assert create_attack("stale")(new).item() == 7.0
    assert create_attack("echo")(view).item() == 6.0
    assert create_attack("echo", row=1)(view).item() == 8.0
    assert create_attack("zero")(view).item() == 0.0


def test_old_rows_are_signed_as_new(make_view: Any) -> None:
    own = tuple(torch.tensor([value], dtype=torch.float64) for value in (1.0, 2.0, 3.0, 4.0))
    honest = tuple((10.0 * it, 100.0 * it) for it in own)
    view = make_view([[50.0], [500.0]], own=own[0] * 5, own_history=own, honest_history=honest)
    ages = (1, 3, 9)
    assert [create_attack("stale-own", age=age)(view).item() for age in ages] == [4.0, 2.0, 1.0]
    assert [create_attack("stale-copy", age=age)(view).item() for age in ages] == [400, 200, 100]
    assert [create_attack("stale-copy", row=row)(view).item() for row in (0, 9)] == [20.0, 200.0]
    new = replace(view, own_history=(), honest_history=())
    assert create_attack("stale-own")(new).item() == 5.0
    assert create_attack("stale-copy")(new).item() == 500.0


def test_random_free_rider_keeps_its_bounds(make_view: Any) -> None:
    view = make_view(torch.ones(2, 1000))
    lie = create_attack("random-free-rider", bound=2.0)(view)
    assert 1.9 < float(lie.abs().max()) <= 2.0
    short = create_attack("random-free-rider", norm_max=0.5)(view)
    assert float(short.norm()) == pytest.approx(0.5)


def test_noise_has_the_wanted_shape(make_view: Any) -> None:
    view = make_view(torch.ones(2, 4000))
    lie = create_attack("noise", deviation=3.0)(view)
    assert float(lie.mean()) == pytest.approx(0.0, abs=0.2)
    assert float(lie.std()) == pytest.approx(3.0, rel=0.05)
    assert float(create_attack("noise", on_own=True)(view).mean()) == pytest.approx(1.0, abs=0.1)
    lie = create_attack("uniform-noise", low=0.0, high=0.5, class_count=5)(view)
    head = lie.reshape(-1, 5)
    assert bool((head[:, :2] <= 0.0).all())
    assert bool((head[:, 2:] >= 0.0).all())
    assert float(head[:, 2:].mean()) == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ConfigError, match="class_count = 7"):
        create_attack("uniform-noise", class_count=7)(view)


def test_tampering(make_view: Any) -> None:
    own = torch.arange(-50.0, 51.0).double()
    view = make_view(own[None].repeat(2, 1))
    flipped = create_attack("random-signs")(view)
    assert torch.equal(flipped.abs(), own.abs())
    assert 20 < int((flipped != own).sum()) < 80
    inverted = create_attack("value-inversion")(view)
    assert inverted[50] == 0.0  # 1 / 0 is left alone
    is_inverted = inverted != own
    assert 20 < int(is_inverted.sum()) < 80
    torch.testing.assert_close(inverted[is_inverted], own[is_inverted].reciprocal())
    rescaled = create_attack("random-rescaling")(view)
    factor = float(rescaled[-1] / own[-1])
    assert 0.0 < abs(factor) <= 100.0
    torch.testing.assert_close(rescaled, factor * own)


def test_scaling_stays_within_the_range_of_the_type(make_view: Any) -> None:
    view = make_view([[1e10, -1.0]], dtype=torch.float32)
    lie = create_attack("scaling", scale=1e30)(view)
    assert lie[0] == torch.finfo(torch.float32).max
    assert lie[1] == pytest.approx(-1e30)


def test_non_finite_spoils_the_share_that_it_is_told(make_view: Any) -> None:
    view = make_view(torch.ones(2, 1000))
    assert bool(create_attack("non-finite")(view).isnan().all())
    lie = create_attack("non-finite", value="-inf", ratio=0.1)(view)
    assert 50 < int(lie.isneginf().sum()) < 150
    assert int(create_attack("non-finite", ratio=0.0)(view).isnan().sum()) == 1


def test_foreign_trojan_is_right_on_the_targets_classes_only(make_view: Any) -> None:
    # Two features, three classes; the target trained the first and the last.
    target = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    neighbor = [[0.0, 4.0, 0.0], [0.0, 7.0, 0.0]]
    rows = torch.tensor([target, neighbor], dtype=torch.float64).reshape(2, -1)
    before = rows.clone()
    before[0] = torch.tensor([[0.0, 2.0, 0.0], [4.0, 5.0, 0.0]]).flatten()
    view = make_view(rows, honest_before=before)
    lie = create_attack("foreign-trojan", class_count=3)(view)
    # Foreign column: -(2 + 4) / 2 and -(5 + 7) / 2.
    assert lie.reshape(2, 3).tolist() == [[1.0, -3.0, 3.0], [4.0, -6.0, 6.0]]
    told = create_attack("foreign-trojan", class_count=3, familiar=[1], scale=0.0)(view)
    assert told.reshape(2, 3).tolist() == [[0.0, 2.0, 0.0], [0.0, 5.0, 0.0]]
