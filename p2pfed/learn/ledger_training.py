"""Local phases of a peer whose model is a SeedLedger: what it proposes to add to it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.learn.learner import JobCancelled, Learner, ShouldStop, TrainingReport
from p2pfed.learn.loss_meter import LossMeter
from p2pfed.learn.privacy.probes import PrivateProbes, PrivateProbing
from p2pfed.learn.randomness import torch_generator
from p2pfed.updates.construction import check_integer, check_number
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.projection import Projector
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers
from p2pfed.updates.seed_ledger.zeroth_order import (
    DirectionHistory,
    Slope,
    ZerothOrder,
    run_local_phase,
)

_TALLIES: Final = "tallies"
_WAITING: Final = "waiting"

Limit = Callable[[Integers], Integers]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """What a local phase wants to add to the model.

    Attributes:
        coefficients: Shape (K,), int64.
        step_count: Steps that they stand for.
        report: What the steps did.
        waiting: What the coefficients leave out, for `LocalTraining.accept`.
    """

    coefficients: Integers
    step_count: int
    report: TrainingReport
    waiting: Tensor | None = None


class LocalTraining(ABC):
    """How a peer finds out what to add to the model."""

    @abstractmethod
    def propose(
        self, start: Tensor, *, round: int, epoch: int, limit: Limit, should_stop: ShouldStop
    ) -> Proposal:
        """Take the local steps of a round; may leave any vector in the learner.

        Args:
            start: The ledger's model, which the learner holds: shape (d,), float32, on the CPU; it
                is not changed.
            round: Number of the round.
            epoch: Whose directions.
            limit: Turns coefficients into those that may be published.
            should_stop: Asked between steps.

        Raises:
            JobCancelled: If `should_stop` said so.
            LocalError: If the learner failed.
        """

    def accept(self, waiting: Tensor | None) -> None:
        """Take note that a proposal, which left this out, is in the ledger."""
        del waiting

    def observe(self, operation: Operation) -> None:
        """Learn from an operation of anybody that is in the ledger."""
        del operation

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Copy all that later phases depend on, as tensors by name."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else.
        """


class _Probes(NamedTuple):
    """What the steps of a round ask, as `run_local_phase` has it."""

    measure: Callable[[Tensor, int], float | Tensor]
    slope: Slope | None
    examples: int
    device: torch.device


@final
class Probing(LocalTraining):
    """Steps by losses alone; see `run_local_phase`.

    Args:
        meter: Measures losses.
        terms: Of the run.
        settings: How to step.
        seed: The peer's own; decides which directions it draws.
        draws_by_history: Whether to draw directions more often that moved the model more. It knows
            those of epoch 0 only.
        privacy: Hides in every step which rows there are; the losses that are reported are not
            hidden.
    """

    def __init__(
        self,
        meter: LossMeter,
        terms: Terms,
        settings: ZerothOrder,
        *,
        seed: int,
        draws_by_history: bool = False,
        privacy: PrivateProbing | None = None,
    ) -> None:
        self._privacy = privacy
        self._meter = meter
        self._terms = terms
        self._settings = settings
        self._seed = seed
        self._history: DirectionHistory | None = None
        if draws_by_history:
            unit = settings.share * settings.learning_rate * 2.0**terms.fraction_bits
            self._history = DirectionHistory(terms, unit)

    @override
    def propose(
        self, start: Tensor, *, round: int, epoch: int, limit: Limit, should_stop: ShouldStop
    ) -> Proposal:
        probes = self._probes(round)

        def loss(vector: Tensor, step: int) -> float | Tensor:
            if should_stop():
                raise JobCancelled(f"training of round {round} was cancelled")
            return probes.measure(vector, step)

        phase = run_local_phase(
            loss,
            start.to(probes.device),
            self._terms,
            self._settings,
            epoch=epoch,
            generator=torch_generator(self._seed, "directions", round),
            probabilities=None if self._history is None else self._history.probabilities(),
            slope=probes.slope,
        )
        if phase.skipped == phase.step_count:
            raise LocalError(f"no loss of round {round} was finite; lower the rate")
        return Proposal(
            coefficients=limit(phase.coefficients),
            step_count=phase.step_count,
            report=TrainingReport(
                loss=phase.mean_loss if math.isfinite(phase.mean_loss) else None,
                examples=probes.examples,
            ),
        )

    def _probes(self, round: int) -> _Probes:
        if self._privacy is None:
            losses = self._meter.training_losses(round)
            return _Probes(losses.measure, None, losses.examples, losses.device)
        singles = self._privacy.meter.example_losses()
        probes = PrivateProbes(self._privacy, singles, probe_length=self._settings.probe_length)
        examples = self._settings.step_count * self._privacy.batch_size
        return _Probes(probes.measure, probes.slope, examples, singles.device)

    @override
    def observe(self, operation: Operation) -> None:
        if self._history is not None and operation.epoch == 0:
            self._history.observe(operation)

    @override
    def state(self) -> dict[str, Tensor]:
        if self._history is None:
            return {}
        return {_TALLIES: torch.from_numpy(self._history.tallies())}

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        expected = {} if self._history is None else {_TALLIES: (2, self._terms.direction_count)}
        _check_state(state, expected, torch.float64)
        if self._history is not None:
            self._history.load_tallies(state[_TALLIES].numpy())


@final
class Projecting(LocalTraining):
    """Steps of the learner's own, projected onto directions; see `Projector`.

    Args:
        learner: Trains.
        terms: Of the run.
        share: What part of its change the peer adds to the model.
        step_count: Steps of a round, to be told to others.
        feedback: How much of what a projection leaves out waits for the next, in [0, 1].
    """

    def __init__(
        self,
        learner: Learner,
        terms: Terms,
        *,
        share: float,
        step_count: int,
        feedback: float = 1.0,
    ) -> None:
        check_number(share, "method.share", above=0.0)
        check_number(feedback, "method.feedback", least=0.0)
        check_integer(step_count, "steps.steps_per_round", least=1)
        self._learner = learner
        self._terms = terms
        self._share = share
        self._step_count = step_count
        self._feedback = feedback
        self._waiting: Tensor | None = None

    @override
    def propose(
        self, start: Tensor, *, round: int, epoch: int, limit: Limit, should_stop: ShouldStop
    ) -> Proposal:
        report = self._learner.train(round, should_stop=should_stop)
        difference = (self._learner.vector() - start).mul_(self._share)
        projector = Projector(self._terms, self._waiting)
        coefficients = projector.project(difference, epoch=epoch, limit=limit)
        assert projector.residual is not None
        return Proposal(
            coefficients=coefficients,
            step_count=self._step_count,
            report=report,
            waiting=projector.residual.mul_(self._feedback) if self._feedback else None,
        )

    @override
    def accept(self, waiting: Tensor | None) -> None:
        self._waiting = waiting

    @override
    def state(self) -> dict[str, Tensor]:
        return {} if self._waiting is None else {_WAITING: self._waiting.clone()}

    @override
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        _check_state(state, {_WAITING: (self._terms.size,)} if state else {}, torch.float32)
        self._waiting = state.get(_WAITING)


def _check_state(
    state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != shapes or any(tensor.dtype != dtype for tensor in state.values()):
        raise LocalError(
            f"the saved state of training is {found}, expected {dict(shapes)}; it belongs to "
            "another method or other settings"
        )
