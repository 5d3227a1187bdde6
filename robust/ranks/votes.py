"""Elections: what many rankings say together.

A ballot is what one voter gives to each edge: its ranks, levels, or the ranks of the edges that it
lists. A vote turns the ballots of one layer into totals, shape (n,), int64, and `election.elect`
turns totals into ranks. All arithmetic is on whole numbers, so that no order of the voters matters.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Final

import torch
from torch import Tensor

from robust.blocks import column_blocks
from robust.errors import InputError, RankError, RuleError
from robust.parameters import check_whole_number, is_number, is_whole_number, shown
from robust.sorting_network import sort_middle

# Weights are multiples of 1 / this of the largest: finer than any weight is meant, and 2^20 times
# 2^31 edges times 2^11 voters still fits into 63 bits.
_WEIGHT_STEPS: Final = 1 << 20


def borda(ballots: Iterable[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Add the ballots up: W[e] = sum_u weight_u ballot_u[e].

    One voter moves a total by at most n - 1 times its weight.

    Args:
        ballots: The rows of (voters, n), or tensors of shape (n,) made one by one; whole numbers.
        weights: A number >= 0 per voter; 1 each if left out. Whole ones up to 2^20 count as they
            are, others by their ratio to the largest, rounded to 2^-20 of it.

    Returns:
        Shape (n,), int64.

    Raises:
        InputError: If there is no ballot, one is no tensor, or there are other weights than one
            per ballot.
        RankError: If ballots have different lengths.

    Source: Mozaffari et al. 2023, "Every vote counts", the server's vote; the count is Borda's of
        1781.
    Differs: the paper has no weights.
    Cost: O(voters n); memory for one ballot and the totals.
    """
    shares = None if weights is None else whole_weights(weights)
    given: object = ballots
    if not isinstance(given, Iterable) or (isinstance(given, Tensor) and given.ndim != 2):
        raise InputError(f"ballots={shown(ballots)} is no list of tensors")
    totals: Tensor | None = None
    voter_count = 0
    for voter, ballot in enumerate(ballots):
        voter_count = voter + 1
        _check_ballot(ballot)
        if totals is None:
            totals = torch.zeros(len(ballot), dtype=torch.int64, device=ballot.device)
        if ballot.shape != totals.shape:
            raise RankError(f"ballot {voter} of shape {tuple(ballot.shape)}: {len(totals)} edges")
        if shares is not None and voter >= len(shares):
            raise InputError(f"{len(shares)} weights for more ballots")
        share = 1 if shares is None else shares[voter]
        for columns in column_blocks(totals):
            totals[columns].add_(ballot[columns].to(torch.int64), alpha=share)
    if totals is None:
        raise InputError("no ballot to count")
    if shares is not None and voter_count != len(shares):
        raise InputError(f"{len(shares)} weights for {voter_count} ballots")
    return totals


def trimmed(ballots: Tensor | Sequence[Tensor], byzantine_count: int) -> Tensor:
    """Add up each edge's ballots but for the f lowest and the f highest.

    Args:
        ballots: Shape (voters, n) or its rows, int64.
        byzantine_count: f, with 2 f < voters.

    Returns:
        Shape (n,), int64.

    Raises:
        InputError: If there is no ballot, or one is no tensor.
        RankError: If ballots have different lengths.
        RuleError: If 2 f is not below the number of voters.

    Source: the trimmed mean of Yin et al. 2018, "Byzantine-robust distributed learning: towards
        optimal statistical rates", definition 2, of ranks in place of gradients.
    Differs: the sum, which orders edges as the mean does.
    Cost: O(n voters log(voters)^2), one block of the ballots in memory.
    """
    check_whole_number(byzantine_count, "byzantine_count")
    _check_ballots(ballots)
    if 2 * byzantine_count >= len(ballots):
        raise RuleError(f"byzantine_count={byzantine_count} of {len(ballots)} voters leaves none")
    totals = torch.empty_like(ballots[0])
    for columns, block in _blocks(ballots):
        middle = sort_middle(block, byzantine_count)
        totals[columns] = sum(middle[1:], start=middle[0])
    return totals


def median(ballots: Tensor | Sequence[Tensor]) -> Tensor:
    """Take the median of each edge's ballots; of an even number, the sum of the middle two.

    Args:
        ballots: Shape (voters, n) or its rows, int64.

    Returns:
        Shape (n,), int64.

    Source: the median of Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal
        statistical rates", definition 1, of ranks in place of gradients.
    Differs: the sum of the middle two in place of their mean, which orders edges alike.
    Cost: That of `trimmed`.
    """
    _check_ballots(ballots)
    return trimmed(ballots, median_cut(len(ballots)))


def median_cut(voter_count: int) -> int:
    """Count the ballots at each end that are not in the middle: all but one or two are."""
    return (voter_count - 1) // 2


def middle_shares(ballots: Tensor | Sequence[Tensor], cut: int) -> list[float]:
    """Return each voter's share in what `trimmed` keeps; the shares sum to 1.

    A ballot counts at each edge where it is between the lowest and the highest that are kept,
    both included, so that equal ballots have equal shares.

    Args:
        ballots: Shape (voters, n) or its rows, int64.
        cut: Ballots dropped at each end.
    """
    kept = torch.zeros(len(ballots), dtype=torch.int64, device=ballots[0].device)
    for _, block in _blocks(ballots):
        middle = sort_middle(block.clone(), cut)
        kept += block.ge(middle[0]).logical_and_(block.le(middle[-1])).sum(dim=1)
    counts = kept.tolist()
    return [count / sum(counts) for count in counts]


def approval(
    ballots: Tensor | Sequence[Tensor], kept_count: int, weights: Sequence[float] | None = None
) -> Tensor:
    """Count the voters that rank an edge among their best.

    Args:
        ballots: Shape (voters, n) or its rows, int64, each a permutation.
        kept_count: How many edges each voter approves of, from 0 to n.
        weights: As in `borda`.

    Returns:
        Shape (n,), int64. Ties are common; `elect` orders them by id.

    Source: Brams and Fishburn 1978, "Approval voting".
    Differs: every voter approves of equally many.
    Cost: O(voters n), memory for one ballot and the totals.
    """
    _check_ballots(ballots)
    check_whole_number(kept_count, "kept_count")
    least = len(ballots[0]) - kept_count
    return borda((ballot >= least for ballot in ballots), weights)


def self_weights(voter_count: int, own_voter: int, self_weight: float) -> list[float]:
    """Weigh the own ballot self_weight times as much as all others together.

    Args:
        voter_count: With the own one.
        own_voter: Its place among the voters.
        self_weight: rho, at least 1; without such a weight every voter has one vote.

    Raises:
        RuleError: If `self_weight` is below 1 or not finite, or the own voter none of them.

    Source: none.
    Differs: from Mozaffari et al. 2023, who have a server, which does not vote.
    """
    check_whole_number(voter_count, "voter_count", least=1)
    if not is_whole_number(own_voter) or not 0 <= own_voter < voter_count:
        raise RuleError(f"own_voter={shown(own_voter)} is none of {voter_count} voters, from 0")
    if not is_number(self_weight) or not 1.0 <= self_weight < math.inf:
        raise RuleError(f"self_weight={shown(self_weight)} is not a finite number >= 1")
    weights = [1.0] * voter_count
    weights[own_voter] = max(1.0, self_weight * (voter_count - 1))
    return weights


def staleness_weight(rounds_late: int) -> float:
    """Weigh an old ranking, which is still a ranking of the same edges: 1 / (1 + rounds).

    Source: Xie, Koyejo and Gupta 2019, "Asynchronous federated optimization", the polynomial
        staleness function with exponent 1.
    Differs: it weighs a vote and not a step.
    """
    check_whole_number(rounds_late, "rounds_late")
    return 1.0 / (1 + rounds_late)


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Turn weights into whole numbers in the same ratios, in lowest terms.

    Raises:
        InputError: If a weight is no number, negative or not finite, or if none is above 0.
    """
    given: object = weights
    if not isinstance(given, Sequence) or not all(is_number(weight) for weight in given):
        raise InputError(f"weights={shown(weights)} is no list of numbers, one per ballot")
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in weights):
        raise InputError(f"weights {shown(list(weights))} are not all finite and >= 0")
    peak = max(weights, default=0.0)
    if peak == 0.0:
        raise InputError("weights are all 0: no ballot would count")
    if peak <= _WEIGHT_STEPS and all(float(weight).is_integer() for weight in weights):
        whole = [int(weight) for weight in weights]
    else:
        # Exact up to the one rounding, even where a quotient of floats would overflow.
        whole = [round(Fraction(weight) / Fraction(peak) * _WEIGHT_STEPS) for weight in weights]
    divisor = math.gcd(*whole)
    return [weight // divisor for weight in whole]


def _check_ballots(ballots: Tensor | Sequence[Tensor]) -> None:
    given: object = ballots
    if isinstance(given, Tensor):
        is_fine = given.ndim == 2 and len(given) > 0
    else:
        is_fine = isinstance(given, Sequence) and len(given) > 0
    if not is_fine:
        raise InputError(f"ballots={shown(ballots)} is no tensor of shape (voters, n), voters >= 1")
    for voter, ballot in enumerate(ballots):
        _check_ballot(ballot)
        if ballot.shape != ballots[0].shape:
            edges = len(ballots[0])
            raise RankError(f"ballot {voter} of shape {tuple(ballot.shape)}: {edges} edges")


def _check_ballot(ballot: object) -> None:
    if not isinstance(ballot, Tensor) or ballot.ndim != 1:
        raise InputError(f"ballots: {shown(ballot)} is no tensor of shape (n,)")


def _blocks(ballots: Tensor | Sequence[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Yield columns and a copy of them, shape (voters, columns)."""
    for columns in column_blocks(ballots[0].expand(len(ballots), -1)):
        yield columns, torch.stack([ballot[columns] for ballot in ballots])
