"""The author's side of a SeedLedger: whose directions to move along, and how far at most."""

import logging
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.learn.learner import ShouldStop
from p2pfed.learn.ledger_author import BeforePublish, Contribution, LedgerAuthor
from p2pfed.learn.ledger_training import LocalTraining
from p2pfed.updates.construction import check_integer
from p2pfed.updates.log import Writer
from p2pfed.updates.seed_ledger.author_log import AuthorLog
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers

_log = logging.getLogger(__name__)


@final
class Directions(LedgerAuthor[SeedLedger, Operation]):
    """Writes what a local phase proposes, as far as the budget goes.

    `before_publish` is applied to the coefficients of an operation, shape (K,), float64, before
    they are rounded and limited.

    Args:
        training: Proposes.
        rounds_per_epoch: Rounds after which the peer goes on to the next epoch, and after the last
            one to the first; 0 to stay in the first.
    """

    def __init__(self, training: LocalTraining, *, rounds_per_epoch: int = 0) -> None:
        check_integer(rounds_per_epoch, "method.rounds_per_epoch", least=0)
        self.training = training
        self._rounds_per_epoch = rounds_per_epoch
        self._told_of_budget = False

    @override
    def contribute(
        self,
        start: Tensor,
        ledger: SeedLedger,
        writer: Writer,
        *,
        round: int,
        before_publish: BeforePublish,
        should_stop: ShouldStop,
    ) -> Contribution[Operation]:
        epoch, log = self._epoch(round, ledger.terms), ledger.log(writer)
        others = ledger.other_lives(writer)

        def limit(coefficients: Integers) -> Integers:
            wanted = before_publish(torch.from_numpy(coefficients).double())
            return self._fit(log, epoch, wanted, others)

        proposal = self.training.propose(
            start, round=round, epoch=epoch, limit=limit, should_stop=should_stop
        )
        operation = ledger.next_operation(writer, epoch, proposal.step_count, proposal.coefficients)
        return Contribution(operation=operation, report=proposal.report, waiting=proposal.waiting)

    @override
    def add_nothing(self, ledger: SeedLedger, writer: Writer, *, round: int) -> Operation:
        nothing = np.zeros(ledger.terms.direction_count, dtype=np.int64)
        return ledger.next_operation(writer, self._epoch(round, ledger.terms), 1, nothing)

    @override
    def accept(self, waiting: Tensor | None) -> None:
        self.training.accept(waiting)

    @override
    def observe(self, operation: Operation) -> None:
        self.training.observe(operation)

    @override
    def state(self) -> dict[str, Tensor]:
        return self.training.state()

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.training.load_state(state)

    def _epoch(self, round: int, terms: Terms) -> int:
        if self._rounds_per_epoch == 0:
            return 0
        return round // self._rounds_per_epoch % terms.epoch_count

    def _fit(
        self, log: AuthorLog, epoch: int, wanted: Tensor, others: Sequence[AuthorLog]
    ) -> Integers:
        most = float(log.terms.coefficient_max)
        finite = wanted.nan_to_num(0.0, most, -most).round().clamp(-most, most)
        allowed = finite.to(torch.int64).numpy()
        fitting = log.fit(epoch, allowed, others)
        if not np.array_equal(fitting, allowed) and not self._told_of_budget:
            self._told_of_budget = True
            _log.warning(
                "this peer's budget in epoch %d is spent, and its steps become shorter: set "
                "method.rounds_per_epoch, or begin a run with a larger method.budget",
                epoch,
            )
        return fitting
