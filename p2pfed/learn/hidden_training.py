"""Training of which nobody sees where it led, whatever becomes of it."""

from collections.abc import Callable
from typing import Final, final

from torch import Tensor

from p2pfed.learn.learner import Learner, ShouldStop, TrainingDiverged, TrainingReport

_NOISE_ADVICE: Final = (
    "; or noise of earlier rounds did it: lower privacy.clip_norm, in which the noise is measured"
)


@final
class HiddenTraining:
    """Lets a learner train, and leaves it at a vector that others may know.

    That is what hiding made of the round, or the vector that the round began with: if training or
    hiding raises, whatever the learner promised and however far it got.

    Args:
        learner: Trains.
        hide: (before, after) to what takes the place of `after`, vectors of shape (d,).
        scale: (before, after, report) to what is hidden in place of `after`: the number of steps in
            a report may tell of rows, and would show in noise that was scaled by it. None hides
            `after` itself.
    """

    def __init__(
        self,
        learner: Learner,
        hide: Callable[[Tensor, Tensor], Tensor],
        scale: Callable[[Tensor, Tensor, TrainingReport], Tensor] | None = None,
    ) -> None:
        self._learner = learner
        self._hide = hide
        self._scale = scale
        self._owed: Tensor | None = None

    def train(self, round: int, *, should_stop: ShouldStop) -> TrainingReport:
        """Take the local steps of a round from a vector that others may know: see `settle`.

        Raises:
            TrainingDiverged: If the learner said so, with what noise may have to do with it.
            Exception: What the learner, `scale` or `hide` raised. In all cases the learner's vector
                is that from before.
        """
        # A copy: a learner may hand out the memory in which it trains.
        before = self._learner.vector().clone()
        self._owed = before
        try:
            report = self._learner.train(round, should_stop=should_stop)
            after = self._learner.vector()
            if self._scale is not None:
                after = self._scale(before, after, report)
            self._owed = self._hide(before, after)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{error}{_NOISE_ADVICE}") from error
        finally:
            self.settle()
        return report

    def settle(self) -> None:
        """Load what the last round ended with, if the learner did not take it then.

        Raises:
            Exception: What the learner raised; nobody may ask for its vector then.
        """
        if self._owed is not None:
            self._learner.load_vector(self._owed.clone())
            self._owed = None
