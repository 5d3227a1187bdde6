"""The author's side of an adapter set: what was trained arrives, at once or later."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.adapter_set.contributor import Contributor
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.log import Receipt
from tests.updates.adapter_set.adapters import TERMS, product, writer

ME = writer(1)
ZERO = torch.zeros(TERMS.size)


def noise(seed: int, scale: float = 0.1) -> Tensor:
    return torch.randn(TERMS.size, generator=torch.Generator().manual_seed(seed)) * scale


def added(ledger: AdapterSet) -> Tensor:
    return product(list(ledger.increments()))


def test_what_was_trained_is_in_the_sum_or_still_to_come() -> None:
    ledger, contributor = AdapterSet(TERMS), Contributor(TERMS, rank=2)
    moved = torch.zeros(TERMS.size, dtype=torch.float64)
    for round in range(12):  # through several compactions
        made = contributor.next_operation(ledger, ME, noise(round), epoch=round)
        moved += noise(round).double()
        assert ledger.apply(ME, round + 1, made) is Receipt.APPLIED
    assert len(ledger.log(ME).increments) <= TERMS.open_max
    torch.testing.assert_close(
        added(ledger) + contributor.residual.double(), moved, atol=1e-5, rtol=0
    )
    assert not contributor.is_spent


def test_a_rank_is_one_peers_own() -> None:
    for rank in (1, 2, 4):
        ledger, contributor = AdapterSet(TERMS), Contributor(TERMS, rank=rank)
        made = contributor.next_operation(ledger, ME, noise(0), epoch=0).increment
        assert [it and it.left.shape[1] for it in made.layers] == [rank, rank]


def test_of_a_change_of_the_rank_nothing_waits() -> None:
    contributor = Contributor(TERMS, rank=1)
    change = torch.cat(
        [
            torch.outer(torch.linspace(-1, 1, rows), torch.linspace(0, 1, columns)).flatten()
            for rows, columns in TERMS.shapes
        ]
    )
    contributor.next_operation(AdapterSet(TERMS), ME, change, epoch=0)
    assert float(contributor.residual.norm()) < 0.02 * float(change.norm())


def test_steps_become_shorter_where_a_limit_ends() -> None:
    terms = replace(TERMS, entry_max=0.3, budget=0.5)
    ledger, contributor = AdapterSet(terms), Contributor(terms, rank=4)
    for sequence in range(1, 9):
        made = contributor.next_operation(ledger, ME, noise(sequence, scale=1.0), epoch=sequence)
        assert ledger.apply(ME, sequence, made) is Receipt.APPLIED
    assert contributor.is_spent
    assert float(added(ledger).abs().max()) <= 0.5


def test_a_step_fits_what_all_lives_have_left() -> None:
    terms = replace(TERMS, entry_max=0.3, budget=0.5)
    ledger = AdapterSet(terms)
    for life in range(4):
        contributor = Contributor(terms, rank=4)
        made = contributor.next_operation(ledger, writer(1, life), noise(life, 1.0), epoch=0)
        ledger.apply(writer(1, life), 1, made)
    reach = sum(each.reach() for log in ledger.logs.values() for each in log.increments)
    assert contributor.is_spent
    assert 0.49 < reach <= terms.budget


def test_who_cannot_compact_adds_nothing_and_goes_on() -> None:
    terms = replace(TERMS, rank_max=1, tolerance=0.01)
    ledger, contributor = AdapterSet(terms), Contributor(terms, rank=1)
    for sequence in range(1, 6):
        made = contributor.next_operation(ledger, ME, noise(sequence), epoch=sequence)
        ledger.apply(ME, sequence, made)
    assert len(ledger.log(ME).increments) == terms.open_max
    assert contributor.is_spent
    assert float(contributor.residual.norm()) > 0


def test_a_difference_that_is_not_finite_leaves_what_was_kept() -> None:
    contributor = Contributor(TERMS, rank=2)
    contributor.next_operation(AdapterSet(TERMS), ME, noise(1), epoch=0)
    before = contributor.residual
    for wrong in (torch.full((TERMS.size,), torch.nan), torch.zeros(3)):
        with pytest.raises(LocalError, match="difference"):
            contributor.next_operation(AdapterSet(TERMS), ME, wrong, epoch=0)
    assert contributor.residual is before
