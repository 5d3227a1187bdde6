"""The author's side: what was trained arrives, at once or later."""

from dataclasses import replace

import pytest
import torch

from p2pfed.errors import LocalError
from p2pfed.updates.log import Receipt
from p2pfed.updates.sparse_sum.contributor import Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from tests.updates.sparse_sum.sums import TERMS, noise, writer

ME = writer(1)
ALONE = replace(TERMS, peer_count=1)


@pytest.mark.parametrize("decay", [1.0, 0.95])
def test_what_was_trained_is_in_the_sum_or_still_to_come(decay: float) -> None:
    ledger, contributor = SparseSum(TERMS), Contributor(TERMS, decay=decay)
    due = torch.zeros(TERMS.size, dtype=torch.float64)
    for round in range(20):
        moved = noise(round)
        made = contributor.next_operation(ledger, ME, -moved)
        due = decay * due + moved.double()
        due -= TERMS.codec.decode(made.data, TERMS.size)
        ledger.apply(ME, round + 1, made)
    left = contributor.residual
    assert torch.allclose(left.double(), due, atol=1e-5)


def test_training_against_one_goal_reaches_it() -> None:
    ledger, contributor, goal = SparseSum(ALONE), Contributor(ALONE), noise(1)
    model = torch.zeros(ALONE.size)
    for sequence in range(1, 161):
        # A value waits for some 16 rounds: together their steps must not go beyond the goal.
        trained = model + 0.03 * (goal - model)
        ledger.apply(ME, sequence, contributor.next_operation(ledger, ME, trained - model))
        model = ledger.materialize(torch.zeros(ALONE.size))
    assert float((model - goal).norm() / goal.norm()) < 0.1


def test_what_a_limit_leaves_out_waits() -> None:
    for terms in (replace(TERMS, norm_max=0.5), replace(TERMS, budget=0.05)):
        ledger, contributor = SparseSum(terms), Contributor(terms, decay=1.0)
        due = torch.zeros(terms.size, dtype=torch.float64)
        for round in range(6):
            moved = noise(round, scale=4.0)
            made = contributor.next_operation(ledger, ME, -moved)
            assert ledger.apply(ME, round + 1, made) is Receipt.APPLIED
            due += moved.double() - terms.codec.decode(made.data, terms.size)
        assert torch.allclose(contributor.residual.double(), due, atol=1e-4)


def test_a_step_fits_what_all_lives_have_left() -> None:
    terms = replace(TERMS, budget=1.0)
    ledger, contributor = SparseSum(terms), Contributor(terms)
    moved = torch.zeros(terms.size)
    moved[0] = -0.6
    for life in range(3):
        made = contributor.next_operation(ledger, writer(1, life), moved)
        ledger.apply(writer(1, life), 1, made)
    together = sum(int(log.sums[0]) for log in ledger.logs.values())
    assert contributor.is_spent
    assert together * terms.unit == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("budget", [0.3, 1.0, 8.0])
def test_values_far_from_a_budget_are_not_looked_at_one_by_one(
    budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = replace(TERMS, budget=budget)
    looks: list[int] = []
    real = Contributor._room
    monkeypatch.setattr(Contributor, "_room", lambda *given: looks.append(1) or real(*given))
    made = []
    for is_far in (Contributor._is_far_from_budget, lambda *_: False):
        monkeypatch.setattr(Contributor, "_is_far_from_budget", is_far)
        ledger, contributor = SparseSum(terms), Contributor(terms)
        for sequence in range(1, 9):
            operation = contributor.next_operation(ledger, ME, noise(sequence))
            ledger.apply(ME, sequence, operation)
            made.append((operation.data, contributor.is_spent))
        made.append(contributor.residual.tolist())
        looks.append(0)
    assert made[:9] == made[9:]
    assert looks.index(0) < 16
    assert (looks.index(0) == 0) is (budget == 8.0)


def test_one_spent_value_does_not_stop_the_others() -> None:
    terms = replace(TERMS, budget=1.0)
    ledger, contributor = SparseSum(terms), Contributor(terms)
    step = torch.zeros(terms.size)
    step[[0, 64]] = torch.tensor([-0.6, 0.1])
    for sequence in range(1, 8):
        ledger.apply(ME, sequence, contributor.next_operation(ledger, ME, step))
    moved = ledger.materialize(torch.zeros(terms.size))
    assert contributor.is_spent
    assert float(moved[64]) > 4 * 0.1 / terms.peer_count
    assert abs(float(moved[0])) <= 1.0 / terms.peer_count


def test_a_difference_that_is_not_finite_leaves_what_was_kept() -> None:
    ledger, contributor = SparseSum(TERMS), Contributor(TERMS)
    contributor.next_operation(ledger, ME, noise(1))
    before = contributor.residual.clone()
    for wrong in (torch.full((TERMS.size,), torch.nan), torch.zeros(3)):
        with pytest.raises(LocalError, match="difference"):
            contributor.next_operation(ledger, ME, wrong)
    assert torch.equal(contributor.residual, before)


def test_a_contributor_goes_on_from_what_waited() -> None:
    ledger, first = SparseSum(TERMS), Contributor(TERMS)
    first.next_operation(ledger, ME, noise(1))
    second = Contributor(TERMS, residual=first.residual)
    found = [each.next_operation(ledger, ME, noise(2)).digest for each in (first, second)]
    assert found[0] == found[1]
