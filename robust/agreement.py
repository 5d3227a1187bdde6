"""How well each row agrees with the others, without a vote of its own."""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from robust.errors import InputError
from robust.inputs import Inputs, check_inputs
from robust.reputation.policy import NORM_RATIO_MAX
from robust.tolerance import check_byzantine_count
from robust.weighted_median import weighted_median

_BYZANTINE_COUNT_MAX: Final = 2**20  # of more rows, no machine holds the inner products


def agreements(
    vectors: Tensor,
    *,
    own: Tensor,
    byzantine_count: int,
    keys: Sequence[bytes] | Sequence[str] | Sequence[int] | None = None,
    gram: Tensor | None = None,
    voices: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Measure each row's cosine with the others.

    For row j, the cosines of x_j with every other row are sorted, the f lowest and the f highest
    are dropped, and the rest is averaged: the trimmed mean of the others' directions, seen along
    x_j. Below zero, or for a row 4 times as long as the median or a quarter of it, it is 0.

    With `voices`, cosines and lengths count as much as their rows' voices, and what is dropped at
    either end is f mean voices. Where the voices are the masses of a `ReputationLedger`, new
    identities have none, however many they are.

    Rows are to be drifts from a common start: in the updates of single rounds, noise hides what
    peers agree on, and of whole models, all angles are small.

    Row j has no say in its own agreement. Own, beside its row, speaks as often again as it takes
    for f liars to be a minority of those who speak: among n >= 2 f + 2 equal voices never.

    Args:
        vectors: One row per peer, the own one included, shape (n, d), as rules take them.
        own: The own row once more, shape (d,).
        byzantine_count: Rows that may be arbitrary; the papers' f.
        keys: As rules take them; the result does not depend on them beyond rounding.
        gram: Shape (n, n), the rows' inner products, where those of the vectors do not measure
            what the update does. `own` has to be among the rows then.
        voices: n numbers >= 0, the own row's included, in any unit; equal ones by default.

    Returns:
        n numbers in [0, 1].

    Raises:
        InputError: If an argument is not as described.
        InfeasibleError: If inner products are beyond the range of float64.
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Xu and Lyu 2021, "A reputation mechanism is all you need: collaborative fairness and
        adversarial robustness in federated learning", algorithm 1: cos(u_j, sum_k r_k u_k).
    Differs: the paper's reference includes u_j, and colluders or one long vector can be most of
        it. Against a trimmed mean or a geometric median without u_j, 3 of 10 rows still silence
        everyone as soon as honest rows have cosines of 0.2 with each other: they stand close
        together, the honest far apart, and the center goes to them. A trimmed mean of cosines has
        no center to capture. Its values are smaller: about the square of the cosine with the
        paper's reference.
    Cost: O(n^2 d) time in one pass for the inner products, none with `gram`; O(n^2 log(n)) more.
    """
    check_byzantine_count(byzantine_count)
    if own is None:
        raise InputError("own=None: agreements are those that one peer sees; give its row")
    if byzantine_count > _BYZANTINE_COUNT_MAX:
        raise InputError(f"byzantine_count={byzantine_count}: at most {_BYZANTINE_COUNT_MAX}")
    with torch.no_grad():
        inputs = check_inputs(vectors, own=own, weights=voices, keys=keys, gram=gram)
        return measure_agreements(inputs, byzantine_count, voices=inputs.weights)


def measure_agreements(
    inputs: Inputs, byzantine_count: int, *, voices: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Measure agreements as `agreements` does, between the rows that a rule sees.

    Args:
        inputs: The rows, with `own`.
        byzantine_count: As in `agreements`.
        voices: As in `agreements`, not all 0.
    """
    row_count = inputs.row_count
    total = row_count if voices is None else math.fsum(voices)
    spoken = torch.tensor(voices or [1.0] * row_count, dtype=torch.float64) * (row_count / total)
    geometry = inputs.measure_about_origin()
    norms = geometry.squared_norms().sqrt()  # (n,)
    own_norm = math.sqrt(geometry.squared_norm_of_own())
    cosines = _cosines(geometry.gram(), norms[:, None] * norms)  # (n, n)
    own_cosines = _cosines(geometry.products_with_own(), norms * own_norm)  # (n,)
    # Each row hears the others, and own once more if it takes that to outvote f liars.
    own_repeats = (2 * byzantine_count + 1 - (row_count - spoken)).clamp(min=0.0)  # (n,)
    heard = spoken.repeat(row_count, 1).fill_diagonal_(0.0)  # (n, n)
    middle = _trimmed_means(
        torch.cat((cosines, own_cosines[:, None]), dim=1),
        torch.cat((heard, own_repeats[:, None]), dim=1),
        byzantine_count,
    )
    median = weighted_median(norms.tolist(), spoken.tolist())
    is_usual = (norms * NORM_RATIO_MAX > median) & (norms < median * NORM_RATIO_MAX)
    return tuple(torch.where(is_usual, middle.clamp(0.0, 1.0), 0.0).tolist())


def _trimmed_means(values: Tensor, weights: Tensor, cut: float) -> Tensor:
    """Average each line of values, shape (n, m), without `cut` of the weight at either end."""
    values, order = values.sort(dim=1)
    above = weights.gather(1, order).cumsum(dim=1)
    below = above - weights.gather(1, order)
    kept = (above.minimum(above[:, -1:] - cut) - below.clamp(min=cut)).clamp(min=0.0)
    return (kept * values).sum(dim=1) / kept.sum(dim=1)


def _cosines(products: Tensor, lengths: Tensor) -> Tensor:
    # A row of length 0 points nowhere and agrees with nothing.
    return torch.where(lengths > 0.0, products / lengths, 0.0).clamp(-1.0, 1.0)
