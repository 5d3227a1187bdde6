"""The author's side of a ledger where a peer's rows are private: paid for, hidden, and saved."""

from collections.abc import Callable, Mapping
from typing import final

from torch import Tensor
from typing_extensions import override

from p2pfed.learn.hidden_training import HiddenTraining
from p2pfed.learn.learner import Learner, ShouldStop, TrainingReport
from p2pfed.learn.ledger_author import (
    BeforePublish,
    Contribution,
    LedgerAuthor,
    LedgerT,
    OperationT,
)
from p2pfed.learn.privacy.guard import PrivacyGuard, PrivacySpent, is_privacy_state
from p2pfed.updates.log import Writer
from p2pfed.updates.specification import ParameterSpecification


@final
class PrivateAuthor(LedgerAuthor[LedgerT, OperationT]):
    """Pays for a local phase before it begins, and saves what was spent.

    Args:
        author: Whose learner or steps hide single rows.
        guard: Keeps within the budget.
    """

    def __init__(self, author: LedgerAuthor[LedgerT, OperationT], guard: PrivacyGuard) -> None:
        self._author = author
        self._guard = guard

    @property
    @override
    def privacy_spent(self) -> PrivacySpent:
        return self._guard.spent

    @override
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
        self._guard.begin_round()
        made = self._author.contribute(
            start,
            ledger,
            writer,
            round=round,
            before_publish=before_publish,
            should_stop=should_stop,
        )
        self._guard.end_round()
        return made

    @override
    def add_nothing(self, ledger: LedgerT, writer: Writer, *, round: int) -> OperationT:
        return self._author.add_nothing(ledger, writer, round=round)

    @override
    def accept(self, waiting: Tensor | None) -> None:
        self._author.accept(waiting)

    @override
    def observe(self, operation: OperationT) -> None:
        self._author.observe(operation)

    @override
    def end_integration(self) -> None:
        self._author.end_integration()
        self._guard.end_integration()

    @override
    def state(self) -> dict[str, Tensor]:
        return {**self._author.state(), **self._guard.state()}

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        spent = {name: tensor for name, tensor in state.items() if is_privacy_state(name)}
        self._guard.load_state(spent)
        self._author.load_state({name: it for name, it in state.items() if name not in spent})


@final
class HiddenChanges(Learner):
    """A learner of which nobody sees where its steps led, only what hiding makes of that.

    Args:
        learner: Trains.
        hide: (before, after) to what takes the place of `after`, vectors of shape (d,).
    """

    def __init__(self, learner: Learner, hide: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._learner = learner
        self._hidden = HiddenTraining(learner, hide)

    @property
    @override
    def specification(self) -> ParameterSpecification:
        return self._learner.specification

    @property
    @override
    def example_count(self) -> int:
        return self._learner.example_count

    @override
    def vector(self) -> Tensor:
        return self._learner.vector()

    @override
    def load_vector(self, vector: Tensor) -> None:
        self._learner.load_vector(vector)

    @override
    def train(self, round: int, *, should_stop: ShouldStop) -> TrainingReport:
        return self._hidden.train(round, should_stop=should_stop)

    @override
    def evaluate(self, split: str, *, should_stop: ShouldStop) -> tuple[float, float]:
        return self._learner.evaluate(split, should_stop=should_stop)

    @override
    def state(self) -> dict[str, Tensor]:
        return self._learner.state()

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._learner.load_state(state)
