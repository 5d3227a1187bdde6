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
    return rows.std(dim=0)


def update(view: View) -> Tensor:
    """Return how far the local steps of this round moved the honest mean, (d,), float64."""
    return mean(view) - mean_before(view)


def sent(vector: Tensor, view: View) -> Tensor:
    """Return a vector as it is sent: in the type of the rows, and nobody else's memory."""
    return vector.to(view.own.dtype, copy=True)


def in_disguise(lie: Tensor, count: int) -> Tensor:
    """Return as many rows as there are liars that say the same, (count, d), no two of them equal.

    Exact copies have one voice together in a `robust.Integrator`, and a liar that knows it changes
    a last bit: each row's first number is the next one after that of the row before, towards 0.
    """
    rows = lie.repeat(count, 1)
    end = torch.tensor(-torch.inf if float(lie[0]) > 0.0 else torch.inf, dtype=lie.dtype)
    for row in range(1, count):
        rows[row, 0] = torch.nextafter(rows[row - 1, 0], end)
    return rows


def with_lies(view: View, lie: Tensor) -> Tensor:
    """Return the rows that the target reads when all liars say the same, (n, d), own first."""
    return torch.cat([view.honest, in_disguise(lie.to(view.honest.dtype), view.byzantine_count)])


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
