"""The author's side of a sparse sum: from trained vectors to operations."""

from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.construction import check_number
from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.operation import Operation
from p2pfed.updates.sparse_sum.terms import Integers, Terms

DECAY: Final = 0.95  # SparseLoCo's beta

# What the codec makes of a vector is no longer than this part of what a limit allows: it takes
# means of magnitudes, and rounds them to 11 bits.
_ROOM: Final = 0.999


@final
class Contributor:
    """Publishes the largest values of what a peer trained, and keeps the rest for later.

    After a local phase from theta to theta_r: e <- decay * e + (theta - theta_r), q is e as the
    codec rounds it, and e <- e - q. What quantization lost is kept too, and what a limit of the
    terms does not let pass: steps become shorter there.

    Args:
        terms: Of the run.
        decay: beta, in (0, 1]. Peers need not agree on it.
        residual: What waits already, as of `residual`; nothing if None.

    Attributes:
        residual: e, shape (d,), float32; never changed in place.
        is_spent: Whether the last operation left something out for want of budget.

    Raises:
        ConfigError: If the decay is out of range.

    Source: Sarfi et al. 2025, SparseLoCo, alg. 1, lines 8 to 12.
    """

    def __init__(
        self, terms: Terms, *, decay: float = DECAY, residual: Tensor | None = None
    ) -> None:
        if decay != 1:
            check_number(decay, "method.decay", above=0.0, below=1.0)
        self.terms = terms
        self.residual = torch.zeros(terms.size) if residual is None else residual
        self.is_spent = False
        self._decay = decay

    def next_operation(self, ledger: SparseSum, writer: Writer, difference: Tensor) -> Operation:
        """Make the operation of a local phase, to be signed, published and then applied.

        Args:
            ledger: Of the terms.
            writer: This peer.
            difference: Trained minus initial weights of the phase, shape (d,), float32.

        Raises:
            LocalError: If the difference has another shape, or is not finite. What is kept for
                later is then as before.
        """
        if difference.shape != self.residual.shape:
            raise LocalError(
                f"difference of shape {tuple(difference.shape)}, expected ({self.terms.size},)"
            )
        wanted = self.residual * self._decay - difference
        if not bool(torch.isfinite(wanted).all()):
            raise LocalError("the difference has NaN or infinity; did training diverge?")
        own = ledger.log(writer).sums
        together = own + sum(log.sums for log in ledger.other_lives(writer))
        fitting = self._fit(wanted, own, together)
        operation = ledger.next_operation(writer, self.terms.codec.encode(fitting))
        self.residual = wanted - self.terms.codec.decode(operation.data, self.terms.size)
        return operation

    def _fit(self, wanted: Tensor, own: Integers, together: Integers) -> Tensor:
        """Return what an operation may hold: within all limits, however the codec rounds it.

        Args:
            wanted: Shape (d,).
            own: Sums of this life, which everybody refuses beyond the budget.
            together: Sums of all own lives, which count no further than the budget.
        """
        terms = self.terms
        most = _ROOM * terms.value_max
        fitting = wanted.clamp(-most, most)
        norm = float(fitting.double().norm())
        if norm > _ROOM * terms.norm_max:
            fitting = fitting * (_ROOM * terms.norm_max / norm)
        if self._is_far_from_budget(fitting, own, together):
            self.is_spent = False
            return fitting
        room = torch.minimum(self._room(fitting, own), self._room(fitting, together))
        is_spent = fitting.abs() > _ROOM * room
        # A kept value takes a magnitude that is at most the largest of all.
        largest = float(fitting.masked_fill(is_spent, 0.0).abs().max())
        is_spent |= (largest > _ROOM * room) & (fitting != 0)
        self.is_spent = bool(is_spent.any())
        return fitting.masked_fill(is_spent, 0.0)

    def _is_far_from_budget(self, fitting: Tensor, own: Integers, together: Integers) -> bool:
        """Return whether no value can spend its budget, which takes a tenth of `_room`'s time."""
        reached = max(_largest(own), _largest(together)) * self.terms.unit
        return float(fitting.abs().max()) <= _ROOM * (self.terms.budget - reached)

    def _room(self, fitting: Tensor, sums: Integers) -> Tensor:
        """Return how far each value may go on in its direction."""
        reached = torch.from_numpy(sums).double() * self.terms.unit
        is_further = reached.sign() == fitting.sign()
        return torch.where(is_further, self.terms.budget - reached.abs(), torch.inf)


def _largest(sums: Integers) -> int:
    """Return the largest magnitude, without a copy of all."""
    return max(int(sums.max()), -int(sums.min()))
