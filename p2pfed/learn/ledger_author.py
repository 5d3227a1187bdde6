"""The author's side of a ledger in a run: from local steps to what a peer publishes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.learn.learner import ShouldStop, TrainingReport
from p2pfed.learn.privacy.guard import PrivacySpent
from p2pfed.updates.log import Operation, Writer

_WAITING: Final = "waiting"

LedgerT = TypeVar("LedgerT")
OperationT = TypeVar("OperationT", bound=Operation)

# Turns what is to be published into what is published; unchanged, but for experiments.
BeforePublish = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contribution(Generic[OperationT]):
    """What a local phase wants to add to the model.

    Attributes:
        operation: The writer's next.
        report: What the steps did.
        waiting: What the operation leaves out, shape (d,), float32, for `LedgerAuthor.accept`.
    """

    operation: OperationT
    report: TrainingReport
    waiting: Tensor | None = None


class LedgerAuthor(ABC, Generic[LedgerT, OperationT]):
    """How a peer finds out what to add to a ledger of one kind."""

    @abstractmethod
    def contribute(
        self,
        start: Tensor,
        ledger: LedgerT,
        writer: Writer,
        *,
        round: int,
        before_publish: BeforePublish,
        should_stop: ShouldStop,
    ) -> Contribution[OperationT]:
        """Take the local steps of a round; may leave any vector in the learner.

        Args:
            start: The ledger's model, which the learner holds: shape (d,), float32, on the CPU; it
                is not changed.
            ledger: All that is known; it is not changed.
            writer: This peer.
            round: Number of the round.
            before_publish: As of `LedgerExchange`.
            should_stop: Asked between steps.

        Raises:
            JobCancelled: If `should_stop` said so.
            LocalError: If the learner failed.
        """

    @abstractmethod
    def add_nothing(self, ledger: LedgerT, writer: Writer, *, round: int) -> OperationT:
        """Make an operation that is empty: a relay's, which shows that it lives."""

    def accept(self, waiting: Tensor | None) -> None:
        """Take note that a contribution, which left this out, is in the ledger."""
        del waiting

    def observe(self, operation: OperationT) -> None:
        """Learn from an operation of anybody that is in the ledger."""
        del operation

    def end_integration(self) -> None:
        """Take note that the next round may begin."""

    @property
    def privacy_spent(self) -> PrivacySpent | None:
        """What was told about training rows so far; None where nobody counts."""
        return None

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Copy all that later phases depend on, as tensors by name."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else.
        """


class PatientAuthor(LedgerAuthor[LedgerT, OperationT]):
    """An author whose operations leave something out, which waits for the next one.

    Args:
        size: d.

    Attributes:
        waiting: Shape (d,), float32; None before the first operation.
    """

    def __init__(self, size: int) -> None:
        self.waiting: Tensor | None = None
        self._size = size

    @override
    def accept(self, waiting: Tensor | None) -> None:
        if waiting is not None:  # an operation that adds nothing leaves nothing out
            self.waiting = waiting

    @override
    def state(self) -> dict[str, Tensor]:
        return {} if self.waiting is None else {_WAITING: self.waiting.clone()}

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        found = {name: (tuple(it.shape), it.dtype) for name, it in state.items()}
        if found not in ({}, {_WAITING: ((self._size,), torch.float32)}):
            raise LocalError(
                f"the saved state of training is {found}, expected what waits of {self._size} "
                "values; it belongs to another method or other settings"
            )
        self.waiting = state.get(_WAITING)
