"""The author's side of an adapter set: the learner's steps, as a change of this peer's own rank."""

import logging
from typing import Final, final

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

# guess: how many times as far as one peer's own steps those of all authors may move the model
# before somebody is told. Measured, digits, five peers of equal shares: accuracy .86 at 1, .89 at
# 1.25, .85 at 2.5 and .19 at 5.
_STEPS_MAX: Final = 2.0


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
        self._told_of_share = False

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
        self._tell_of_share(ledger)
        difference = before_publish((self._learner.vector() - start) * self._share)
        contributor = Contributor(ledger.terms, rank=self._rank, residual=self.waiting)
        operation = contributor.next_operation(ledger, writer, difference, epoch=round)
        if contributor.is_spent and not self._told_of_limits:
            self._told_of_limits = True
            _log.warning(
                "this peer's steps become shorter, at a limit of the run: set method.share to one "
                "over the number of peers, if it is more, or begin a run with a larger "
                "method.budget, method.entry_max or method.rank_max"
            )
        waiting = contributor.residual * self._feedback
        return Contribution(operation=operation, report=report, waiting=waiting)

    def _tell_of_share(self, ledger: AdapterSet) -> None:
        """Say once that the sum of all peers' steps is much longer than the steps of one."""
        authors = len({writer.author for writer in ledger.logs})
        if self._told_of_share or self._share * authors <= _STEPS_MAX:
            return
        self._told_of_share = True
        _log.warning(
            "method.share = %g adds more than fits: with %d peers the model moves %.1f times as "
            "far as one peer's steps; set it to %.2g",
            self._share,
            authors,
            self._share * authors,
            1.0 / authors,
        )

    @override
    def add_nothing(self, ledger: AdapterSet, writer: Writer, *, round: int) -> Operation:
        layers = [None] * len(ledger.terms.shapes)
        nothing = make_increment(layers, ledger.terms, epoch=min(round, EPOCH_MAX))
        return ledger.next_operation(writer, nothing)
