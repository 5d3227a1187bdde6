"""Local steps of many peers at once."""

import logging
from collections.abc import Hashable, Sequence
from typing import Final, final

from msgspec import Struct

from p2pfed.core.effects import StartTraining
from p2pfed.learn.jobs import TrainingOutcome
from p2pfed.learn.learner import TaskLearner
from p2pfed.learn.learner_state import VECTOR
from p2pfed.learn.workbench import Workbench
from sim.compute.gathering import Gathering
from sim.compute.stacked import End, Families, Family, Start

_log = logging.getLogger(__name__)

_TOGETHER_MIN: Final = 2


@final
class Training(Struct, frozen=True, kw_only=True, eq=False):
    """A training that has started.

    Attributes:
        bench: Whose.
        learner: The bench's.
        shape: What is equal where steps can be taken at once; the first is the learner's family.
        effect: The job.
        others: What it may be computed with.
    """

    bench: Workbench
    learner: TaskLearner
    shape: tuple[Family, Hashable]
    effect: StartTraining
    others: "Gathering[Training, End]"

    def start(self) -> Start:
        """Return where its steps begin; nothing changes the learner before it is due."""
        learner = self.learner
        return Start(
            state=learner.state(is_copied=False),
            rows=learner.train_rows,
            batches=learner.batches(self.effect.round),
        )

    def finish(self) -> TrainingOutcome:
        """Hand over what was found, or do it now.

        Raises:
            LocalError: As from `Workbench.train`.
        """
        end = self.others.take(self)
        if end is None:
            return self.bench.train(self.effect)
        return self.bench.train_as(
            self.effect,
            lambda: self.learner.load_trained(end.state, end.losses),
            vector=end.state[VECTOR],
        )

    def drop(self) -> None:
        """Forget it; the learner has not changed."""
        self.others.drop(self)

    def expect(self, end_ns: int) -> None:
        """Take note of when it ends, in nanoseconds."""
        self.others.expect(self, end_ns)


@final
class Trainings:
    """All trainings of a world that have started.

    Args:
        families: Of its learners.

    Attributes:
        started: Those that have not ended.
    """

    def __init__(self, families: Families) -> None:
        self._families = families
        self.started: Gathering[Training, End] = Gathering(self._compute)

    def begin(self, bench: Workbench, effect: StartTraining) -> Training | None:
        """Start a training; None if it cannot be done with others."""
        learner = bench.learner
        if not effect.train or bench.privacy_spent is not None:
            return None
        if not isinstance(learner, TaskLearner) or not learner.trains_openly:
            return None
        family = self._families.find(learner)
        if family is None or not learner.example_count:
            return None
        training = Training(
            bench=bench,
            learner=learner,
            shape=(family, learner.round_shape(effect.round)),
            effect=effect,
            others=self.started,
        )
        self.started.add(training)
        return training

    def _compute(self, group: Sequence[Training]) -> list[tuple[Training, End]]:
        family, found = group[0].shape[0], []
        if family.is_dissolved:
            for training in group:  # lest each of them asks for all of them again
                self.started.drop(training)
            return []
        for first in range(0, len(group), family.stack_peers):
            part = group[first : first + family.stack_peers]
            if len(part) < _TOGETHER_MIN:
                break
            try:
                ends = family.train([training.start() for training in part])
            except Exception:  # whatever a model, a loss or a rule makes of a stack
                _log.info("models of %s are trained one by one", group[0].learner.task.name)
                self._families.dissolve(family)
                return []
            for training, end in zip(part, ends, strict=True):
                if end is None:  # its bench will say what happened
                    self.started.drop(training)
                else:
                    found.append((training, end))
        return found
