"""What trains and evaluates on one machine: the interface, and what does it for a `Task`."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from statistics import fmean
from typing import Protocol, TypeVar, final, runtime_checkable

import torch
from torch import Tensor

from p2pfed.errors import ConfigError, LocalError, P2PFedError
from p2pfed.learn.calls import call_model, set_modes
from p2pfed.learn.device import Placement
from p2pfed.learn.draws import draw_batches, draw_probe, draw_step_count
from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.familiar import FamiliarClasses
from p2pfed.learn.learner_state import LearnerState
from p2pfed.learn.loss_meter import ExampleLosses, RoundLosses
from p2pfed.learn.privacy.losses import losses_of_rows
from p2pfed.learn.privacy.steps import PrivateGradients, PrivateSteps
from p2pfed.learn.randomness import global_generator
from p2pfed.learn.steps import AdamW, StepRule
from p2pfed.learn.task import Task, predicted_classes
from p2pfed.updates.construction import check_integer
from p2pfed.updates.method import AdaptedModel, Method
from p2pfed.updates.specification import ParameterSpecification

ShouldStop = Callable[[], bool]
Measure = TypeVar("Measure")


class JobCancelled(P2PFedError):
    """A job ended because it was told to; nothing was changed."""


class TrainingDiverged(LocalError):
    """Local steps ended with NaN or infinity; nothing was changed."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What one training job did.

    Attributes:
        loss: Mean loss over its steps, None when none was taken.
        examples: Examples seen.
        steps: Local steps taken; None if the learner does not say.
    """

    loss: float | None
    examples: int
    steps: int | None = None


class Learner(Protocol):
    """What a peer asks of the program that learns; an embedding application may bring its own."""

    @property
    def specification(self) -> ParameterSpecification:
        """Which parameters travel."""

    @property
    def example_count(self) -> int:
        """Private training examples; neighbors are told this number."""

    def vector(self) -> Tensor:
        """Copy the parameters that travel: shape (d,), float32, on the CPU."""

    def load_vector(self, vector: Tensor) -> None:
        """Overwrite the parameters that travel."""

    def train(self, round: int, *, should_stop: ShouldStop) -> TrainingReport:
        """Take the local steps of a round, or raise and change nothing.

        Raises:
            JobCancelled: If `should_stop` said so between two steps.
        """

    def evaluate(self, split: str, *, should_stop: ShouldStop) -> tuple[float, float]:
        """Return (score, mean loss) on `validation` or `test` rows; a larger score is better.

        Raises:
            JobCancelled: If `should_stop` said so between two batches.
        """

    def state(self) -> dict[str, Tensor]:
        """Copy all that later training depends on; names are free, tensors are on the CPU."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned, to the same bits."""


@runtime_checkable
class ShardScorer(Protocol):
    """What a `Learner` may have beside: scores of parts of its validation rows, its shards.

    Rules that look at held-out data then see more than one number. A learner without it is scored
    by `evaluate`: all validation rows are one shard.
    """

    def shard_scores(self, *, should_stop: ShouldStop) -> Sequence[float]:
        """Return a score per shard, in [0, 1], larger is better; always as many, at least one.

        Raises:
            JobCancelled: If `should_stop` said so between two batches.
        """


@runtime_checkable
class LossSampler(Protocol):
    """What a `Learner` may have beside: a cheap loss, so that probing neighbors costs little."""

    def sample_loss(self, round: int, *, should_stop: ShouldStop) -> float:
        """Return the mean loss on a few validation rows that are drawn anew in each round.

        Within a round the rows are always the same.

        Raises:
            JobCancelled: If `should_stop` said so.
        """


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much and how a peer trains per round.

    Attributes:
        step_rule: Makes the optimizer.
        steps_per_round: Local steps between two exchanges, or the most of them.
        steps_per_round_min: The fewest: each round has as many as are drawn for it. None for always
            `steps_per_round`.
        batch_size: Examples per step.
        evaluation_batch_size: Examples per forward pass of an evaluation.
    """

    step_rule: StepRule = field(default_factory=AdamW)
    steps_per_round: int = 1
    steps_per_round_min: int | None = None
    batch_size: int = 32
    evaluation_batch_size: int = 64  # guess: fits where training with a fourth of it does

    def __post_init__(self) -> None:
        check_integer(self.steps_per_round, "steps.steps_per_round", least=1)
        if self.steps_per_round_min is not None:
            fewest, most = self.steps_per_round_min, self.steps_per_round
            check_integer(fewest, "steps.steps_per_round_min", least=1)
            if fewest > most:
                fix = f"write at most steps_per_round = {most}"
                raise ConfigError("steps.steps_per_round_min", fewest, fix)
        check_integer(self.batch_size, "steps.batch_size", least=1)
        check_integer(self.evaluation_batch_size, "steps.evaluation_batch_size", least=1)


@final
class TaskLearner:
    """Trains the model of a `Task`.

    The batches of round r follow from (seed, peer, r) alone, so that a peer that starts again
    repeats them; with `privacy` they are secret and never the same. Dropout is off. Normalization
    layers with running statistics update them; these stay on the machine.

    Args:
        task: With this peer's own training rows.
        method: Decides which parameters train and travel.
        plan: How much and how to train.
        seed: The run's shared seed, in [0, 2^64); decides the initial values.
        peer: This peer's name; peers of one run differ in it.
        probe_secret: Decides on which rows neighbors are tried out, in [0, 2^64). Keep it to
            yourself: who knows the rows can behave on them. Without it, it is on all of them.
        placement: Where to compute.
        privacy: Hides in every step which rows there are; the losses that are reported are not
            hidden.

    Attributes:
        train_rows: This peer's own.

    Raises:
        ConfigError: If the method does not fit the task's model, or privacy does not.
    """

    def __init__(
        self,
        task: Task,
        method: Method,
        *,
        plan: Plan,
        seed: int,
        peer: str,
        probe_secret: int | None = None,
        placement: Placement | None = None,
        privacy: PrivateSteps | None = None,
    ) -> None:
        self.task = task
        self.method = method
        self.plan = plan
        self.placement = placement or Placement()
        self._seed = seed
        self._peer = peer
        self._probe_secret = probe_secret
        self.train_rows = task.rows("train")
        with global_generator(seed, "model"):  # of what stays frozen; the method does the rest
            adapted = method.adapt(task.create_model(), seed=seed)
        self.adapted: AdaptedModel = adapted.placed(self.placement.device, self.placement.dtype)
        self._optimizer = plan.step_rule.create_optimizer(
            self.adapted.trainable, self.adapted.head_names
        )
        self._known = LearnerState(self.adapted, self._optimizer)
        self._private_steps: PrivateGradients | None = None
        if privacy is not None:
            self._private_steps = PrivateGradients(
                privacy,
                self.adapted,
                self.train_rows,
                task.loss,
                batch_size=plan.batch_size,
                placement=self.placement,
            )

    def pack(self) -> None:
        """Let the parameters that travel lie in one vector; see `AdaptedModel.in_one_piece`."""
        self.adapted = self.adapted.in_one_piece()
        self._known = LearnerState(self.adapted, self._optimizer)

    @property
    def specification(self) -> ParameterSpecification:
        """Which parameters travel."""
        return self.adapted.specification

    @property
    def example_count(self) -> int:
        """Private training rows."""
        return len(self.train_rows)

    def vector(self) -> Tensor:
        """Copy the parameters that travel: shape (d,), float32, on the CPU."""
        return self.adapted.vector()

    def load_vector(self, vector: Tensor) -> None:
        """Overwrite the parameters that travel.

        Raises:
            LocalError: If the vector is not one of this run.
        """
        self.adapted.load_vector(vector)

    def train(self, round: int, *, should_stop: ShouldStop) -> TrainingReport:
        """Take the local steps of a round.

        Raises:
            JobCancelled: If `should_stop` said so between two steps.
            LocalError: If there is nothing to train on.
            TrainingDiverged: If the loss or a parameter ends up NaN or infinite. In all cases, as
                after any error, the learner is as it was before.
        """
        self._check_rows()
        before = self.state()
        is_done = False
        set_modes(self.adapted.model, training=self._private_steps is None)
        try:
            losses = []
            for take_step in self._steps(round):
                if should_stop():
                    raise JobCancelled(f"training of round {round} was cancelled")
                losses.append(take_step())
            loss = float(torch.cat(losses).mean())
            # Private steps go on whatever the loss: to stop for it would tell of it.
            is_lost = self._private_steps is None and not math.isfinite(loss)
            if is_lost or not bool(torch.isfinite(self.vector()).all()):
                raise TrainingDiverged(
                    f"training of round {round} diverged (loss {loss}); lower the rate"
                )
            is_done = True
        finally:
            self._optimizer.zero_grad()  # as large as the model, until the next round
            if not is_done:
                self.load_state(before)
        return self._report(loss, step_count=len(losses))

    @property
    def trains_openly(self) -> bool:
        """Whether its steps follow from `state` and `batches` alone, as `load_trained` needs it."""
        return self._private_steps is None and not self._known.has_statistics

    def batches(self, round: int) -> tuple[Tensor, ...]:
        """Return which of its rows `train` takes each step of a round on, shape (b,), int64.

        Raises:
            LocalError: If there is nothing to train on.
        """
        self._check_rows()
        return draw_batches(
            step_count=self._step_count(round),
            batch_size=self.plan.batch_size,
            row_count=self.example_count,
            seed=self._seed,
            peer=self._peer,
            round=round,
        )

    def round_shape(self, round: int) -> Hashable:
        """Return what is equal where the steps of learners can be taken at once, with equal plans.

        That is how many steps there are, and what their optimizers know.
        """
        return self._step_count(round), self._known.shape()

    def load_trained(self, state: Mapping[str, Tensor], losses: Sequence[float]) -> TrainingReport:
        """Do as `train` does, whose steps were taken elsewhere.

        Args:
            state: What `state` would return after them.
            losses: Of the steps, finite.

        Raises:
            LocalError: As from `load_state`.
        """
        self.load_state(state)
        return self._report(fmean(losses), step_count=len(losses))

    def training_losses(self, round: int) -> RoundLosses:
        """Return what measures models on the batches that `train` takes in a round.

        Normalization layers use the statistics that they have, and measure none.

        Raises:
            LocalError: If there is nothing to train on.
        """
        batches = self.batches(round)
        set_modes(self.adapted.model, training=False)

        def measure(vector: Tensor, step: int) -> float:
            self.load_vector(vector)
            return self._loss_on(self.train_rows.batch(batches[step]).to(self.placement.device))

        return RoundLosses(
            measure=measure,
            examples=len(batches) * self.plan.batch_size,
            device=self.placement.device,
        )

    def example_losses(self) -> ExampleLosses:
        """Return what measures models on single training rows.

        Raises:
            LocalError: If there is nothing to train on.
        """
        self._check_rows()
        set_modes(self.adapted.model, training=False)
        return losses_of_rows(self.adapted, self.train_rows, self.task.loss, self.placement)

    def evaluate(self, split: str, *, should_stop: ShouldStop) -> tuple[float, float]:
        """Return (score, mean loss) on the `validation` or `test` rows.

        Raises:
            JobCancelled: If `should_stop` said so between two batches.
            LocalError: If there are no such rows.
        """
        rows = self.task.rows(split)
        if not len(rows):
            raise LocalError(f"the task has no {split} rows; give it some, or do not evaluate")

        def measure(outputs: object, labels: Tensor) -> tuple[float, float, int]:
            score, loss = self.task.metric(outputs, labels), self.task.loss(outputs, labels)
            return float(score), float(loss), len(labels)

        score = loss = 0.0
        for batch_score, batch_loss, count in self._measure(rows, measure, split, should_stop):
            share = count / len(rows)
            score += share * batch_score
            loss += share * batch_loss
        return score, loss

    def shard_scores(self, *, should_stop: ShouldStop) -> Sequence[float]:
        """Return the F1 of each familiar class on their validation rows, predicted among all.

        Where the task's metric is not `p2pfed.learn.task.accuracy`, or there are no training rows
        that could make a class familiar, it is the one score of all validation rows.

        Raises:
            JobCancelled: If `should_stop` said so between two batches.
            LocalError: If there are no such rows.
        """
        if self._familiar is None:
            return [self.evaluate("validation", should_stop=should_stop)[0]]

        def measure(outputs: object, _: Tensor) -> Tensor:
            return predicted_classes(outputs).cpu()

        return self._familiar.scores(
            lambda rows: torch.cat(list(self._measure(rows, measure, "validation", should_stop)))
        )

    def sample_loss(self, round: int, *, should_stop: ShouldStop) -> float:
        """Return the mean loss on a few validation rows that are drawn anew in each round.

        Raises:
            JobCancelled: If `should_stop` said so.
            LocalError: If there are no validation rows.
        """
        rows = self.task.rows("validation")
        if not len(rows):
            raise LocalError("the task has no validation rows; give it some, or probe nobody")
        if self._probe_secret is None:
            return self.evaluate("validation", should_stop=should_stop)[1]
        if should_stop():
            raise JobCancelled(f"a probe of round {round} was cancelled")
        indices = draw_probe(len(rows), secret=self._probe_secret, round=round)
        set_modes(self.adapted.model, training=False)
        return self._loss_on(rows.batch(indices).to(self.placement.device))

    def take_step(self, batch: Examples) -> Tensor:
        """Take one step on a batch and return its loss, a scalar on the model's device."""
        self._optimizer.zero_grad()
        with self.placement.computing():
            loss = self.task.loss(call_model(self.adapted.model, batch), batch.labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def state(self, *, is_copied: bool = True) -> dict[str, Tensor]:
        """Copy the vector, the optimizer's state and local statistics, on the CPU.

        What is not copied is to be read at once, and not written to.
        """
        return self._known.copy() if is_copied else self._known.view()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned, to the same bits.

        Raises:
            LocalError: If it is the state of another model, method or step rule.
        """
        self._known.restore(state)

    def _report(self, loss: float, *, step_count: int) -> TrainingReport:
        return TrainingReport(
            loss=loss if math.isfinite(loss) else None,
            examples=step_count * self.plan.batch_size,
            steps=step_count,
        )

    def _check_rows(self) -> None:
        if not self.example_count:
            raise LocalError("this peer has no training rows; give it some, or role = relay")

    def _loss_on(self, batch: Examples) -> float:
        with torch.no_grad(), self.placement.computing():
            return float(self.task.loss(call_model(self.adapted.model, batch), batch.labels))

    @cached_property
    def _familiar(self) -> FamiliarClasses | None:
        # Only when it is asked for: it reads the labels of all rows.
        return FamiliarClasses.of(self.task)

    def _measure(
        self,
        rows: Rows,
        measure: Callable[[object, Tensor], Measure],
        split: str,
        should_stop: ShouldStop,
    ) -> Iterator[Measure]:
        """Measure outputs and labels batch by batch, in evaluation mode."""
        set_modes(self.adapted.model, training=False)
        for indices in torch.arange(len(rows)).split(self.plan.evaluation_batch_size):
            if should_stop():
                raise JobCancelled(f"evaluation on {split} rows was cancelled")
            batch = rows.batch(indices).to(self.placement.device)
            with torch.no_grad(), self.placement.computing():
                measured = measure(call_model(self.adapted.model, batch), batch.labels)
            yield measured

    def _step_count(self, round: int) -> int:
        most, fewest = self.plan.steps_per_round, self.plan.steps_per_round_min
        if fewest is None:
            return most
        return draw_step_count(fewest, most, seed=self._seed, peer=self._peer, round=round)

    def _steps(self, round: int) -> Iterator[Callable[[], Tensor]]:
        """Return the steps of a round; a call takes one and returns its losses, shape (b,)."""
        if self._private_steps is not None:
            return iter([self._take_private_step] * self._step_count(round))
        return (partial(self._take_step_on, indices) for indices in self.batches(round))

    def _take_step_on(self, indices: Tensor) -> Tensor:
        batch = self.train_rows.batch(indices).to(self.placement.device)
        return self.take_step(batch).view(1)

    def _take_private_step(self) -> Tensor:
        assert self._private_steps is not None
        losses = self._private_steps.derive()
        self._optimizer.step()
        return losses
