"""The author's side: what was trained arrives, at once or later."""

from dataclasses import replace

import pytest
import torch

from p2pfed.errors import LocalError
from p2pfed.updates.sparse_sum.contributor import Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from tests.updates.sparse_sum.sums import START, TERMS, noise, writer

ME = writer(1)
ALONE = replace(TERMS, peer_count=1)


@pytest.mark.parametrize("decay", [1.0, 0.95])
def test_what_was_trained_is_in_the_sum_or_still_to_come(decay: float) -> None:
    ledger, contributor = SparseSum(TERMS), Contributor(TERMS, decay=decay)
    due = torch.zeros(TERMS.size, dtype=torch.float64)
    for round in range(20):
        moved = noise(round)
        made = contributor.next_operation(ledger, ME, START, START - moved)
        due = decay * due + moved.double()
        due -= TERMS.codec.decode(made.data, TERMS.size)
        ledger.apply(ME, round + 1, made)
    left = contributor.state()["residual"]
    assert torch.allclose(left.double(), due, atol=1e-5)


def test_training_against_one_goal_reaches_it() -> None:
    ledger, contributor, goal = SparseSum(ALONE), Contributor(ALONE), noise(1)
    model = torch.zeros(ALONE.size)
    for sequence in range(1, 161):
        # A value waits for some 16 rounds: together their steps must not go beyond the goal.
        trained = model + 0.03 * (goal - model)
        ledger.apply(ME, sequence, contributor.next_operation(ledger, ME, model, trained))
        model = ledger.materialize(torch.zeros(ALONE.size))
    assert float((model - goal).norm() / goal.norm()) < 0.1


def test_a_refused_operation_leaves_what_was_kept() -> None:
    ledger, contributor = SparseSum(TERMS), Contributor(TERMS)
    contributor.next_operation(ledger, ME, START, START - noise(1))
    before = contributor.state()["residual"].clone()
    with pytest.raises(LocalError, match="smaller steps, or a larger budget"):
        contributor.next_operation(ledger, ME, START, START - noise(2, scale=4.0))
    assert torch.equal(contributor.state()["residual"], before)


def test_saving_and_loading_changes_nothing() -> None:
    ledger, first, second = SparseSum(TERMS), Contributor(TERMS), Contributor(TERMS)
    first.next_operation(ledger, ME, START, START - noise(1))
    second.load_state(first.state())
    found = [
        each.next_operation(ledger, ME, START, START - noise(2)).digest for each in (first, second)
    ]
    assert found[0] == found[1]
