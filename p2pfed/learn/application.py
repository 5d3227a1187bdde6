"""A learner whose training is done by the application that embeds the peer."""

import threading
from collections.abc import Callable, Mapping
from typing import Final, final

from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.learn.learner import JobCancelled, ShouldStop, TrainingReport
from p2pfed.learn.probing import loss_in
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.specification import ParameterSpecification

# What an application's evaluation returns: a score, or a score and a loss.
Score = float | tuple[float, float]

_POLL_S: Final = 0.1  # how soon a waiting job notices that it is to stop
_VECTOR: Final = "vector"


@final
class ApplicationLearner:
    """Stands between the jobs of a peer and an application that trains in its own loop.

    The core's training job waits here until the application hands its vector in, and integration
    works on that copy, so that nobody writes into the application's model while it trains.

    Args:
        adapted: The application's model, prepared by the run's method.
        evaluate: Called without arguments on a worker thread while the application waits in its
            exchange; returns the score on validation data. None when nothing is to be evaluated.
        example_count: Training examples of the application; neighbors are told this number.
    """

    def __init__(
        self,
        adapted: AdaptedModel,
        *,
        evaluate: Callable[[], Score] | None,
        example_count: int,
    ) -> None:
        self._adapted = adapted
        self._evaluate = evaluate
        self._example_count = example_count
        self._vector = adapted.vector()
        self._submitted: tuple[Tensor, TrainingReport] | None = None
        self._changed = threading.Condition()

    @property
    def specification(self) -> ParameterSpecification:
        """Which parameters travel."""
        return self._adapted.specification

    @property
    def example_count(self) -> int:
        """Training examples of the application."""
        return self._example_count

    @property
    def can_evaluate(self) -> bool:
        """Whether the application gave a function."""
        return self._evaluate is not None

    def submit(self, vector: Tensor, report: TrainingReport) -> None:
        """Hand in the application's vector, shape (d,): the answer to a training job."""
        with self._changed:
            self._submitted = (vector, report)
            self._changed.notify_all()

    def vector(self) -> Tensor:
        """Copy the vector that the peer holds."""
        return self._vector.clone()

    def load_vector(self, vector: Tensor) -> None:
        """Replace the vector that the peer holds; the application's model stays as it is."""
        self.specification.check(vector)
        self._vector = vector.clone()

    def train(self, round: int, *, should_stop: ShouldStop) -> TrainingReport:
        """Wait for the application.

        Raises:
            JobCancelled: If `should_stop` said so first.
        """
        with self._changed:
            while self._submitted is None:
                if should_stop():
                    raise JobCancelled(f"training of round {round} was cancelled")
                self._changed.wait(_POLL_S)
            (self._vector, report), self._submitted = self._submitted, None
        return report

    def evaluate(self, split: str, *, should_stop: ShouldStop) -> tuple[float, float]:  # noqa: ARG002
        """Evaluate the vector that the peer holds with the application's function.

        An application has one set of evaluation data: it decides, and is reported as well. To
        rules that score models it is one shard; a `Learner` of one's own can say more.

        Raises:
            LocalError: If the application gave no function.
        """
        result = self._call_evaluate()
        return result if isinstance(result, tuple) else (float(result), 0.0)

    def sample_loss(self, round: int, *, should_stop: ShouldStop) -> float:  # noqa: ARG002
        """Return the loss of the vector that the peer holds by the application's function.

        Returns:
            The loss; NaN, by which nobody is judged, if the function does not return (score, loss).

        Raises:
            LocalError: If the application gave no function.
        """
        return loss_in(self._call_evaluate())

    def state(self) -> dict[str, Tensor]:
        """Copy the vector; the application saves its own optimizer."""
        return {_VECTOR: self.vector()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is the state of another model.
        """
        if set(state) != {_VECTOR}:
            raise LocalError("the saved state is not that of an embedded peer")
        self.load_vector(state[_VECTOR])

    def _call_evaluate(self) -> Score:
        if self._evaluate is None:
            raise LocalError(
                "give join an evaluate function, or set evaluate_every_rounds = 0, no loss gate "
                "and a rule that does not evaluate"
            )
        before = self._adapted.vector()
        self._adapted.load_vector(self._vector)
        try:
            return self._evaluate()
        finally:
            self._adapted.load_vector(before)
