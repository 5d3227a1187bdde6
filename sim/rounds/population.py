"""All peers' models: trained one after the other, or at once as one stack of parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.func import vmap
from typing_extensions import override

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.draws import draw_step_count
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.task import Task
from p2pfed.updates.method import Method
from p2pfed.updates.methods import Full
from sim.compute.stacked import take_step
from sim.freed_memory import keep_freed_memory
from sim.rounds.drawing import BatchDraws
from sim.rounds.model import Inputs, Model
from sim.sharing import share_frozen

_FULL: Final = Full()


def never() -> bool:
    """Answer that a job need not stop."""
    return False


class Population(ABC):
    """The models of all peers, as one matrix of gossip vectors."""

    @property
    @abstractmethod
    def model(self) -> Model:
        """What a vector means."""

    @abstractmethod
    def vectors(self) -> Tensor:
        """Copy all peers' vectors, shape (n, d), float32."""

    @abstractmethod
    def load_vectors(self, vectors: Tensor) -> None:
        """Overwrite all peers' vectors, shape (n, d); they must not be changed afterwards."""

    @abstractmethod
    def train(self, round: int) -> tuple[int, ...]:
        """Take every peer's local steps of a round.

        A peer whose training diverges is as it was before the round, as a real one would be.

        Returns:
            Numbers of those peers.
        """


def step_counts(plan: Plan, names: Sequence[str], *, seed: int, round: int) -> list[int]:
    """Return how many steps each peer takes in a round, as its learner would draw it."""
    fewest, most = plan.steps_per_round_min, plan.steps_per_round
    if fewest is None:
        return [most] * len(names)
    return [draw_step_count(fewest, most, seed=seed, peer=name, round=round) for name in names]


@final
class Sequential(Population):
    """One learner per peer, the very ones that real peers use.

    Args:
        tasks: One per peer, with its own training rows.
        names: The peers' names.
        plan: How much and how to train.
        seed: The run's shared seed.
        method: Which parameters train.

    Raises:
        ConfigError: If the model keeps running statistics, or peers would share one.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        names: Sequence[str],
        *,
        plan: Plan,
        seed: int,
        method: Method = _FULL,
    ) -> None:
        self._learners: list[TaskLearner] = []
        for task, name in zip(tasks, names, strict=True):
            learner = TaskLearner(task, method, plan=plan, seed=seed, peer=name)
            # At once: all copies of a large frozen model would not fit beside each other.
            if self._learners:
                share_frozen(learner.adapted.model, self._learners[0].adapted.model)
            self._learners.append(learner)
        self._model = Model(self._learners[0].adapted)

    @property
    @override
    def model(self) -> Model:
        return self._model

    @override
    def vectors(self) -> Tensor:
        return torch.stack([learner.vector() for learner in self._learners])

    @override
    def load_vectors(self, vectors: Tensor) -> None:
        for learner, vector in zip(self._learners, vectors, strict=True):
            learner.load_vector(vector)

    @override
    def train(self, round: int) -> tuple[int, ...]:
        diverged = []
        for number, learner in enumerate(self._learners):
            try:
                learner.train(round, should_stop=never)
            except LocalError:
                diverged.append(number)
        return tuple(diverged)


@final
class Batched(Population):
    """All peers' parameters in one stack, trained by one vectorized pass per step.

    Batches are those of `Sequential`. The results differ by the rounding of batched matrix
    products: by 1e-5 of the length of a drift after some rounds, as the tests state.

    Args:
        tasks: One per peer, with its own training rows; all of one model, loss and metric.
        names: The peers' names.
        plan: How much and how to train.
        seed: The run's shared seed.
        method: Which parameters train; what it freezes is one copy for all.

    Raises:
        ConfigError: If the model keeps running statistics or cannot be mapped over peers, or a
            peer has no rows.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        names: Sequence[str],
        *,
        plan: Plan,
        seed: int,
        method: Method = _FULL,
    ) -> None:
        keep_freed_memory()
        # The vector of a learner that has not trained is the common initial one.
        adapted = TaskLearner(tasks[0], method, plan=plan, seed=seed, peer=names[0]).adapted
        self._names, self._plan, self._seed = tuple(names), plan, seed
        self._model = Model(adapted)
        self._loss = tasks[0].loss
        joined, starts = _join(tasks)
        self._rows = _Rows(joined)
        self._first_rows = torch.tensor(starts[:-1])[:, None]  # (n, 1)
        self._draws = BatchDraws(
            names,
            [end - start for start, end in pairwise(starts)],
            step_count=plan.steps_per_round,
            batch_size=plan.batch_size,
            seed=seed,
        )
        self._stack = {
            name: nn.Parameter(parameter.detach().expand(len(tasks), *parameter.shape).clone())
            for name, parameter in adapted.trainable.items()
        }
        # Step rules work on each element alone, so that one optimizer serves all peers.
        self._optimizer = plan.step_rule.create_optimizer(self._stack, adapted.head_names)
        self._loaded = self.vectors()  # what training began with
        self._check_model(tasks[0])

    @property
    @override
    def model(self) -> Model:
        return self._model

    @override
    def vectors(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._stack[name].flatten(1) for name in self._stack], dim=1)

    @override
    def load_vectors(self, vectors: Tensor) -> None:
        self._loaded = vectors
        with torch.no_grad():
            for parameter, piece in zip(self._stack.values(), self._pieces(vectors), strict=True):
                parameter.copy_(piece)

    @override
    def train(self, round: int) -> tuple[int, ...]:
        kept_before = [tensor.clone() for tensor in self._kept()]
        losses = []
        counts = step_counts(self._plan, self._names, seed=self._seed, round=round)
        has_idle = min(counts) < self._plan.steps_per_round
        for step, indices in enumerate(self._batches(round)):
            if not has_idle:
                losses.append(self._take_step(indices))
                continue
            is_idle = torch.tensor(counts) <= step
            kept = [tensor.clone() for tensor in self._tensors()]
            losses.append(self._take_step(indices).where(~is_idle, torch.zeros(())))
            self._restore(is_idle, kept)
        is_sound = torch.isfinite(torch.stack(losses)).all(dim=0)  # (n,)
        is_sound &= self._are_finite()
        if bool(is_sound.all()):
            return ()
        self._restore(~is_sound, [*self._pieces(self._loaded), *kept_before])
        return tuple(torch.nonzero(~is_sound).flatten().tolist())

    def _are_finite(self) -> Tensor:
        """Return whose parameters are all finite, shape (n,)."""
        with torch.no_grad():
            sums = torch.stack([it.flatten(1).sum(dim=1) for it in self._stack.values()])
            if bool(torch.isfinite(sums).all()):
                return torch.ones(len(self._names), dtype=torch.bool)
            return torch.isfinite(self.vectors()).all(dim=1)  # sums may be beyond the type

    def _restore(self, chosen: Tensor, before: Sequence[Tensor]) -> None:
        """Give some peers back what they had, by a mask of shape (n,)."""
        # Before a first step there is no optimizer state to return to: theirs starts from zero.
        after = self._tensors()
        fresh = [torch.zeros_like(tensor) for tensor in after[len(before) :]]
        for tensor, old in zip(after, [*before, *fresh], strict=True):
            tensor[chosen] = old[chosen]

    def _take_step(self, indices: Tensor) -> Tensor:
        """Step on rows of shape (n, b); return the losses before, shape (n,)."""
        return take_step(self._loss_of, self._stack, self._optimizer, self._rows.batch(indices))

    def _check_model(self, task: Task) -> None:
        """Try the model on one row of one peer: not all that torch can do can be done at once."""
        row = task.rows("train").batch(torch.zeros(1, 1, dtype=torch.int64))
        one = {name: parameter[:1] for name, parameter in self._stack.items()}
        try:
            with torch.no_grad():
                vmap(self._loss_of)(one, row.inputs, row.labels)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            fix = 'write "sequential"; torch.func.vmap cannot map this model or method'
            raise ConfigError("rounds.compute", "batched", fix) from error

    def _loss_of(self, parameters: Mapping[str, Tensor], inputs: Inputs, labels: Tensor) -> Tensor:
        return self._loss(self._model.call(parameters, inputs), labels)

    def _batches(self, round: int) -> Sequence[Tensor]:
        """Return the indices of every step's rows, shape (n, b) each."""
        return (self._draws.draw(round) + self._first_rows).unbind()

    def _tensors(self) -> list[Tensor]:
        """Return parameters, then what the optimizer keeps of each peer."""
        return [*(parameter.detach() for parameter in self._stack.values()), *self._kept()]

    def _kept(self) -> list[Tensor]:
        state = self._optimizer.state
        return [
            value
            for parameter in self._stack.values()
            for value in state.get(parameter, {}).values()
            if isinstance(value, Tensor) and value.shape == parameter.shape
        ]

    def _pieces(self, vectors: Tensor) -> list[Tensor]:
        """Return views of vectors, (n, d), with the shapes of the stack."""
        entries = self._model.specification.entries
        pieces = vectors.split([entry.size for entry in entries], dim=1)
        return [
            piece.view(len(vectors), *entry.shape)
            for entry, piece in zip(entries, pieces, strict=True)
        ]


@final
class _Rows:
    """The rows of all peers behind each other."""

    def __init__(self, rows: Examples) -> None:
        self._all = rows

    def batch(self, indices: Tensor) -> Examples:
        """Return rows by number, of a batch of each peer: shape (n, b, ...)."""
        labels, inputs = self._all.labels, self._all.inputs
        if isinstance(inputs, Tensor):
            return Examples(_chosen(inputs, indices), _chosen(labels, indices))
        by_name = {name: _chosen(it, indices) for name, it in inputs.items()}
        return Examples(by_name, _chosen(labels, indices))


def _chosen(tensor: Tensor, indices: Tensor) -> Tensor:
    # Indexing with a matrix would give the same and take three times as long.
    return tensor.index_select(0, indices.flatten()).view(*indices.shape, *tensor.shape[1:])


def _join(tasks: Sequence[Task]) -> tuple[Examples, tuple[int, ...]]:
    """Return the training rows of all peers behind each other, and where each peer's begin."""
    shares = []
    for index, task in enumerate(tasks):
        rows = task.rows("train")
        if not len(rows):
            raise ConfigError("rounds.peers", len(tasks), f"peer {index} has no rows; use fewer")
        shares.append(rows.batch(torch.arange(len(rows))))
    labels = torch.cat([share.labels for share in shares])
    starts = tuple(accumulate((len(share) for share in shares), initial=0))
    first = shares[0].inputs
    if isinstance(first, Tensor):
        return Examples(torch.cat([torch.as_tensor(s.inputs) for s in shares]), labels), starts
    names = list(first)
    by_name = [share.inputs for share in shares if not isinstance(share.inputs, Tensor)]
    joined = {name: torch.cat([inputs[name] for inputs in by_name]) for name in names}
    return Examples(joined, labels), starts
