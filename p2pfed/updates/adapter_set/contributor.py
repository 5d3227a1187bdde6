"""The author's side of an adapter set: from trained vectors to operations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.adapter_set.author_log import AuthorLog, reach_of
from p2pfed.updates.adapter_set.compaction import make_compaction
from p2pfed.updates.adapter_set.increment import EPOCH_MAX, Increment, make_increment
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.operation import Operation
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import Writer
from p2pfed.updates.stacking import closest

_ROOM: Final = 0.999  # of a limit: what weighs less is encoded anew, and its sum rounded

_WEIGHT_MIN: Final = 2.0**-20  # less of a change is not worth its bytes


@final
class Contributor:
    """Publishes of what a peer trained the change of a rank that is closest, and keeps the rest.

    When as many own increments count as the terms allow, they are compacted with the next
    operation, and what that loses is kept for later, too. What a limit does not let pass makes
    steps shorter; where the increments are further from any compaction than the terms allow, or
    the budget is spent, an operation adds nothing.

    Args:
        terms: Of the run.
        rank: Of what is published. Peers need not agree on it.
        residual: What waits already, as of `residual`; nothing if None.

    Attributes:
        residual: Shape (d,), float32; never changed in place.
        is_spent: Whether the last operation had to add less, or nothing.

    Source: Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression
        schemes", for what waits.
    """

    def __init__(self, terms: Terms, *, rank: int, residual: Tensor | None = None) -> None:
        self.terms = terms
        self.residual = torch.zeros(terms.size) if residual is None else residual
        self.is_spent = False
        self._rank = min(rank, terms.rank_max)

    def next_operation(
        self, ledger: AdapterSet, writer: Writer, difference: Tensor, *, epoch: int
    ) -> Operation:
        """Make the operation of a local phase, to be signed, published and then applied.

        Args:
            ledger: Of the terms.
            writer: This peer.
            difference: Trained minus initial weights of the phase, times the peer's share of the
                model, shape (d,), float32.
            epoch: Of the operation, for people.

        Raises:
            LocalError: If the difference has another shape, or is not finite. What is kept for
                later is then as before.
        """
        if difference.shape != self.residual.shape or not bool(torch.isfinite(difference).all()):
            raise LocalError(
                f"difference of shape {tuple(difference.shape)}, expected ({self.terms.size},) "
                "without NaN or infinity; did training diverge?"
            )
        epoch = min(epoch, EPOCH_MAX)
        wanted, log = self.residual + difference, ledger.log(writer)
        compaction = self._compaction(log, epoch)
        left = log if compaction is None else replace(log, increments=(compaction,))
        spent = reach_of([each for log in ledger.other_lives(writer) for each in log.increments])
        increment = self._increment(wanted, left, epoch, spent=spent)
        operation = ledger.next_operation(writer, increment, compaction)
        lost = [] if compaction is None else [*log.increments]
        published = self._sum([increment, *([] if compaction is None else [compaction])])
        self.residual = (wanted + self._sum(lost) - published).float()
        return operation

    def _compaction(self, log: AuthorLog, epoch: int) -> Increment | None:
        if len(log.increments) < self.terms.open_max:
            return None
        try:
            return make_compaction(log.increments, self.terms, epoch=epoch)
        except LocalError:
            return None

    def _increment(self, wanted: Tensor, log: AuthorLog, epoch: int, *, spent: float) -> Increment:
        """Return the increment that is closest, as far as the limits let it.

        Args:
            wanted: Shape (d,).
            log: As it is before.
            epoch: For people.
            spent: What other lives of this peer have of the budget.
        """
        terms = self.terms
        nothing = make_increment([None] * len(terms.shapes), terms, epoch=epoch)
        room = _ROOM * min(terms.entry_max, terms.budget - spent - log.reach())
        self.is_spent = room <= 0 or len(log.increments) >= terms.open_max
        if self.is_spent:
            return nothing
        changes = [
            closest(piece.view(shape), min(self._rank, *shape))
            for piece, shape in zip(
                wanted.split([rows * columns for rows, columns in terms.shapes]),
                terms.shapes,
                strict=True,
            )
        ]
        # Bounds are of the numbers as they are rounded: measured where no limit binds.
        free = replace(terms, entry_max=2.0**100, budget=2.0**100)
        made = make_increment(changes, free, epoch=epoch)
        reach = made.reach()
        if reach <= room:
            return made
        self.is_spent = True
        if room < _WEIGHT_MIN * reach:
            return nothing
        return make_increment(changes, terms, epoch=epoch, weight=room / reach)

    def _sum(self, members: Sequence[Increment]) -> Tensor:
        total = torch.zeros(self.terms.size, dtype=torch.float64)
        for each in members:
            products = [
                torch.zeros(rows * columns, dtype=torch.float64) if it is None else it.flatten()
                for (rows, columns), it in zip(
                    self.terms.shapes,
                    (each.product(layer, total.device) for layer in range(len(each.layers))),
                    strict=True,
                )
            ]
            total += torch.cat(products)
        return total
