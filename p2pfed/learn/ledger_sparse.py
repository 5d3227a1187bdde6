"""The author's side of a sparse sum: of the learner's steps, the largest values go out."""

import logging
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.learn.learner import Learner, ShouldStop
from p2pfed.learn.ledger_author import BeforePublish, Contribution, PatientAuthor
from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.contributor import Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.operation import Operation

_log = logging.getLogger(__name__)


@final
class LargestValues(PatientAuthor[SparseSum, Operation]):
    """Local steps of the learner; see `Contributor` for what becomes of them.

    `before_publish` is applied to what the steps changed, shape (d,), float32.

    Args:
        learner: Trains.
        decay: Factor of what waits, before the next difference is added, in (0, 1].
    """

    def __init__(self, learner: Learner, *, decay: float) -> None:
        super().__init__(learner.specification.size)
        self._learner = learner
        self._decay = decay
        self._told_of_budget = False

    @override
    def contribute(
        self,
        start: Tensor,
        ledger: SparseSum,
        writer: Writer,
        *,
        round: int,
        before_publish: BeforePublish,
        should_stop: ShouldStop,
    ) -> Contribution[Operation]:
        report = self._learner.train(round, should_stop=should_stop)
        difference = before_publish(self._learner.vector() - start)
        contributor = Contributor(ledger.terms, decay=self._decay, residual=self.waiting)
        operation = contributor.next_operation(ledger, writer, difference)
        if contributor.is_spent and not self._told_of_budget:
            self._told_of_budget = True
            _log.warning(
                "this peer's budget for some values is spent, and it moves them no further: "
                "begin a run with a larger method.budget"
            )
        return Contribution(operation=operation, report=report, waiting=contributor.residual)

    @override
    def add_nothing(self, ledger: SparseSum, writer: Writer, *, round: int) -> Operation:
        nothing = ledger.terms.codec.encode(torch.zeros(ledger.terms.size))
        return ledger.next_operation(writer, nothing)
