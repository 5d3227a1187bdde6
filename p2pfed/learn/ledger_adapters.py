"""The author's side of an adapter set: the learner's steps, as a change of this peer's own rank."""

import logging
from typing import final

from torch import Tensor
from typing_extensions import override

from p2pfed.learn.learner import Learner, ShouldStop
from p2pfed.learn.ledger_author import BeforePublish, Contribution, PatientAuthor
from p2pfed.updates.adapter_set.contributor import Contributor
from p2pfed.updates.adapter_set.increment import EPOCH_MAX, make_increment
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.operation import Operation
from p2pfed.updates.log import Writer

_log = logging.getLogger(__name__)


@final
class LowRankChanges(PatientAuthor[AdapterSet, Operation]):
    """Local steps of the learner; see `Contributor` for what becomes of them.

    `before_publish` is applied to what the peer adds of its steps, shape (d,), float32.

    Args:
        learner: Trains.
        rank: Of what is published.
        share: What part of its change the peer adds to the model.
        feedback: How much of what is left out waits for the next operation, in [0, 1].
    """

    def __init__(self, learner: Learner, *, rank: int, share: float, feedback: float) -> None:
        super().__init__(learner.specification.size)
        self._learner = learner
        self._rank = rank
        self._share = share
        self._feedback = feedback
        self._told_of_limits = False

    @override
    def contribute(
        self,
        start: Tensor,
        ledger: AdapterSet,
        writer: Writer,
        *,
        round: int,
        before_publish: BeforePublish,
        should_stop: ShouldStop,
    ) -> Contribution[Operation]:
        report = self._learner.train(round, should_stop=should_stop)
        difference = before_publish((self._learner.vector() - start) * self._share)
        contributor = Contributor(ledger.terms, rank=self._rank, residual=self.waiting)
        operation = contributor.next_operation(ledger, writer, difference, epoch=round)
        if contributor.is_spent and not self._told_of_limits:
            self._told_of_limits = True
            _log.warning(
                "this peer's steps become shorter, at a limit of the run: begin one with a larger "
                "method.budget, method.entry_max or method.rank_max"
            )
        waiting = contributor.residual * self._feedback
        return Contribution(operation=operation, report=report, waiting=waiting)

    @override
    def add_nothing(self, ledger: AdapterSet, writer: Writer, *, round: int) -> Operation:
        layers = [None] * len(ledger.terms.shapes)
        nothing = make_increment(layers, ledger.terms, epoch=min(round, EPOCH_MAX))
        return ledger.next_operation(writer, nothing)
