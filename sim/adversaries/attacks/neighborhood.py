"""What the honest rows of a view have in common, in float64, and how their reader would answer."""

import torch
from torch import Tensor

import robust
from sim.adversaries.view import View


def mean(view: View) -> Tensor:
    """Return the mean of the honest rows, (d,), float64; the papers' mu."""
    return view.honest.double().mean(dim=0)


def mean_before(view: View) -> Tensor:
    """Return the mean of the honest rows before the local steps of this round, (d,), float64."""
    return view.honest_before.double().mean(dim=0)


def deviation(view: View) -> Tensor:
    """Return each coordinate's standard deviation over the honest rows, (d,), float64.

    It is that of a sample (divided by h - 1), and 0 for a single row.
    """
    rows = view.honest.double()
    if rows.shape[0] == 1:
        return torch.zeros_like(rows[0])
    # As torch.std, which takes ten times as long along the first dimension.
    squares = (rows - rows.mean(dim=0)).square_().sum(dim=0)
    return squares.div_(rows.shape[0] - 1).sqrt_()


def update(view: View) -> Tensor:
    """Return how far the local steps of this round moved the honest mean, (d,), float64."""
    return mean(view) - mean_before(view)


def sent(vector: Tensor, view: View) -> Tensor:
    """Return a vector as it is sent: in the type of the rows, and nobody else's memory."""
    return vector.to(view.own.dtype, copy=True)


def with_lies(view: View, lie: Tensor) -> Tensor:
    """Return the rows that the target reads when all liars send one vector, (n, d), own first."""
    lies = lie.to(view.honest.dtype).expand(view.byzantine_count, -1)
    return torch.cat([view.honest, lies])


def answer(view: View, lie: Tensor) -> Tensor:
    """Return what the target's rule makes of a lie that all liars send, (d,), float64.

    A rule that refuses so few rows leaves the target with its own one. A rule that the attacker
    does not know is taken for a trimmed mean.
    """
    rows = with_lies(view, lie)
    try:
        if view.rule is not None:
            return view.rule(rows).double()
        trimmed = min(view.byzantine_count, (rows.shape[0] - 1) // 2)
        return robust.create("trimmed-mean", byzantine_count=trimmed)(rows).double()
    except robust.InfeasibleError:
        return view.honest[0].double()


def squared_distances(rows: Tensor) -> Tensor:
    """Return the squared distances between rows, (n, n), float64, exact to rounding.

    One row at a time: the product form of `torch.cdist` loses all digits far from the origin.
    """
    exact = rows.double()
    return torch.stack([(exact - row).square().sum(dim=1) for row in exact])
