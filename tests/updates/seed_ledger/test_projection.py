"""Projected updates: exact on the directions, nothing lost beside them, and able to learn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.projection import Projector
from p2pfed.updates.seed_ledger.terms import Terms
from tests.updates.seed_ledger.digits_lab import PEER_COUNT, SIZE, DigitsLab, make_start
from tests.updates.seed_ledger.ledgers import writer

TERMS = Terms(run_id=bytes(32), size=640, direction_count=64)


def draw(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_what_lies_on_the_directions_passes_whole() -> None:
    wanted = torch.randint(-999, 1_000, (64,), generator=torch.Generator().manual_seed(0))
    difference = (TERMS.basis(2).decode(wanted).double() * 2.0**-24).float()
    projector = Projector(TERMS)
    assert projector.project(difference, epoch=2).tolist() == wanted.tolist()
    assert projector.residual is not None
    assert not projector.residual.any()


def test_published_and_waiting_sum_to_the_input() -> None:
    projector = Projector(TERMS)
    published, total = torch.zeros(640, dtype=torch.float64), torch.zeros(640, dtype=torch.float64)
    for epoch in range(12):
        difference = draw(640, seed=epoch) * 0.01
        coefficients = projector.project(difference, epoch=epoch)
        published += TERMS.basis(epoch).decode(torch.from_numpy(coefficients)).double() * 2.0**-24
        total += difference.double()
    assert projector.residual is not None
    torch.testing.assert_close(published + projector.residual.double(), total, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [640, 611])
def test_a_projection_leaves_no_more_than_it_got(size: int) -> None:
    terms = Terms(run_id=bytes(32), size=size, direction_count=64)
    projector, difference = Projector(terms), draw(size) * 0.01
    projector.project(difference, epoch=0)
    assert projector.residual is not None
    left = float(projector.residual.square().sum() / difference.square().sum())
    assert left == pytest.approx(1.0 - 64 / size, abs=0.05)


def test_its_cosine_to_what_was_trained_grows_as_the_root_of_the_directions() -> None:
    difference = draw(4_096) ** 3 * 1e-3  # some values are most of it, as in what was trained
    found = []
    for count in (64, 256, 1_024):
        terms = Terms(run_id=bytes(32), size=4_096, direction_count=count)
        coefficients = Projector(terms).project(difference, epoch=0)
        restored = terms.basis(0).decode(torch.from_numpy(coefficients)).float()
        found.append(float(cosine_similarity(restored, difference, dim=0)))
    assert found == pytest.approx([(count / 4_096) ** 0.5 for count in (64, 256, 1_024)], abs=0.03)


def test_other_epochs_publish_what_the_first_could_not_see() -> None:
    turning, still = Projector(TERMS), Projector(TERMS)
    for projector, epochs in ((turning, range(30)), (still, [0] * 30)):
        projector.project(draw(640) * 0.01, epoch=0)
        for epoch in epochs:
            projector.project(torch.zeros(640), epoch=epoch)
    assert turning.residual is not None
    assert still.residual is not None
    assert float(turning.residual.norm()) < 0.25 * float(still.residual.norm())


def test_what_is_clipped_waits() -> None:
    terms = Terms(run_id=bytes(32), size=640, direction_count=64, coefficient_max=100)
    projector = Projector(terms)
    difference = terms.basis(0).direction(9) * 250 * 2.0**-24
    for expected in (100, 100, 50, 0):
        coefficients = projector.project(difference, epoch=0)
        assert coefficients[9] == expected
        assert np.count_nonzero(coefficients) == (expected > 0)
        difference = torch.zeros(640)


@pytest.mark.parametrize(
    "difference", [torch.zeros(639), torch.full((640,), math.nan), torch.full((640,), math.inf)]
)
def test_other_differences_are_refused_and_leave_nothing(difference: Tensor) -> None:
    projector = Projector(TERMS)
    with pytest.raises(LocalError):
        projector.project(difference, epoch=0)
    assert projector.residual is None


def learn_digits(rounds: int, *, turns: bool) -> float:
    """Let four peers learn by gradients, 10 steps a round, and return the accuracy."""
    lab, start = DigitsLab(), make_start()
    terms = Terms(run_id=bytes(32), size=SIZE, direction_count=1_024)
    ledger = SeedLedger(terms)
    projectors = [Projector(terms) for _ in range(PEER_COUNT)]
    for round_number in range(rounds):
        initial, epoch = ledger.materialize(start), round_number if turns else 0
        for peer, shard in enumerate(lab.shards):
            generator = torch.Generator().manual_seed(round_number * PEER_COUNT + peer)
            vector = initial.clone().requires_grad_()
            optimizer = torch.optim.SGD([vector], lr=0.1)
            for rows in shard.draw(10, generator):
                optimizer.zero_grad()
                shard.loss(vector, rows).backward()
                optimizer.step()
            change = (vector.detach() - initial) / PEER_COUNT
            coefficients = projectors[peer].project(change, epoch=epoch)
            made = ledger.next_operation(writer(peer), epoch, 10, coefficients)
            ledger.apply(writer(peer), round_number + 1, made)
    return lab.accuracy(ledger.materialize(start))


@pytest.mark.slow
def test_peers_learn_digits_by_projections_that_turn() -> None:
    turning = learn_digits(15, turns=True)
    assert turning > 0.55
    assert turning > learn_digits(15, turns=False)


def test_what_a_limit_takes_away_waits() -> None:
    wanted = torch.full((64,), 1_000)
    difference = (TERMS.basis(0).decode(wanted).double() * 2.0**-24).float()
    projector = Projector(TERMS)
    published = projector.project(difference, epoch=0, limit=lambda each: each // 4)
    assert published.tolist() == [250] * 64
    again = Projector(TERMS, projector.residual)
    assert again.project(torch.zeros(640), epoch=0).tolist() == [750] * 64
