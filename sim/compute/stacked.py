"""Models of many peers as one stack of parameters, stepped by one vectorized pass."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, final
from weakref import WeakKeyDictionary

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.optim import Optimizer

from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.learner import Learner, TaskLearner
from p2pfed.learn.learner_state import VECTOR, optimizer_key, split_optimizer_key
from sim.sharing import JoinedRows

Inputs = Tensor | Mapping[str, Tensor]
Stack = Mapping[str, nn.Parameter]
State = Mapping[str, Tensor]

# Of all parameters of a model, in bytes: larger ones are bound by arithmetic, and nothing is gained
# for the memory that all activations take at once. Guess.
_MODEL_BYTES_MAX: Final = 1 << 22
# Of what trains in a stack. Measured, one step of 32 rows of a model of 10 kB: 0.3 ms per peer in
# stacks of 2, 0.05 of 16, 0.03 from 64 on.
_STACK_BYTES: Final = 1 << 20
_STACK_PEERS: Final = 256
_STACK_PEERS_MIN: Final = 2  # of models that `_MODEL_BYTES_MAX` lets in, however large


def take_step(
    loss_of: Callable[[Mapping[str, Tensor], Inputs, Tensor], Tensor],
    stack: Stack,
    optimizer: Optimizer,
    batch: Examples,
    computing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Take one step of every model of a stack, and return the losses before it, shape (k,).

    Args:
        loss_of: A model's parameters, inputs and labels to its loss.
        stack: Every parameter of k models, shape (k, ...).
        optimizer: Of the stack; its rule works on each element alone.
        batch: Each model's rows, shape (k, b, ...).
        computing: Makes the context of the forward pass.
    """
    optimizer.zero_grad()
    with computing():
        losses: Tensor = vmap(loss_of)(stack, batch.inputs, batch.labels)
    losses.sum().backward()  # no model's parameters are in another's loss
    optimizer.step()
    return losses.detach()


@final
class Start(Struct, frozen=True, kw_only=True, eq=False):
    """Where the steps of a round begin.

    Attributes:
        state: The learner's; read only.
        rows: It trains on these.
        batches: Which of the rows each step is on, shape (b,), int64.
    """

    state: State
    rows: Rows
    batches: tuple[Tensor, ...]


@final
class End(Struct, frozen=True, kw_only=True, eq=False):
    """Where the steps of a round lead.

    Attributes:
        state: The learner's.
        losses: Of each step, before it.
    """

    state: State
    losses: list[float]


@final
class Family:
    """Learners that differ in their rows and in what trains, and in nothing else.

    Args:
        first: The first of them.

    Attributes:
        specification: Of their vectors.
        stack_peers: How many to stack.
        is_dissolved: Whether their model turned out to be none that can be stacked.
        is_scored: Whether many of their models can be evaluated at once, as far as is known.
    """

    def __init__(self, first: TaskLearner) -> None:
        self.is_dissolved = False
        self.is_scored = True
        self.specification = first.specification
        fitting = _STACK_BYTES // (4 * first.specification.size)
        self.stack_peers = max(min(fitting, _STACK_PEERS), _STACK_PEERS_MIN)
        self._first = first
        self._model = first.adapted.model.eval()  # dropout is off, as while learners train
        names = {id(value): name for name, value in self._model.named_parameters()}
        self._names = {name: names[id(it)] for name, it in first.adapted.trainable.items()}
        self._frozen = _frozen(first)

    def has(self, learner: TaskLearner) -> bool:
        """Tell whether a learner with an equal `_traits` belongs to it."""
        frozen = _frozen(learner)
        return frozen.keys() == self._frozen.keys() and all(
            _is_same(tensor, self._frozen[name]) for name, tensor in frozen.items()
        )

    def call(self, parameters: Mapping[str, Tensor], inputs: Inputs) -> Any:
        """Return the outputs of one model, with parameters by their names in the specification."""
        named = {self._names[name]: parameter for name, parameter in parameters.items()}
        if isinstance(inputs, Tensor):
            return functional_call(self._model, named, (inputs,))
        return functional_call(self._model, named, kwargs=dict(inputs))

    def train(self, starts: Sequence[Start]) -> list[End | None]:
        """Take the steps of a round for many learners at once.

        Args:
            starts: Where each begins, of one `TaskLearner.round_shape`.

        Returns:
            Where each ends; None for one that came to NaN or infinity.
        """
        stack, optimizer = self._restore([start.state for start in starts])
        placement = self._first.placement
        losses = torch.stack(
            [
                take_step(
                    self._loss_of,
                    stack,
                    optimizer,
                    batch.to(placement.device),
                    placement.computing,
                )
                for batch in _batches(starts)
            ]
        )  # (steps, k)
        vectors = _flat(stack)
        ends = self._states(vectors, stack, optimizer)
        is_sound = torch.isfinite(losses).all(dim=0).cpu() & _are_finite(vectors)
        # Torch's optimizers are in cycles: the stack would stay until the next garbage collection.
        optimizer.param_groups.clear()
        optimizer.state.clear()
        return [
            End(state=end, losses=of_peer) if ok else None
            for end, of_peer, ok in zip(ends, losses.T.tolist(), is_sound.tolist(), strict=True)
        ]

    def evaluate(self, vectors: list[Tensor], rows: Rows) -> list[tuple[float, float]]:
        """Return what `TaskLearner.evaluate` would say of many vectors.

        Args:
            vectors: Each of shape (d,).
            rows: Of the split, at least one.
        """
        found: list[tuple[float, float]] = []
        for first in range(0, len(vectors), self.stack_peers):
            found += self._evaluate(torch.stack(vectors[first : first + self.stack_peers]), rows)
        return found

    def _evaluate(self, vectors: Tensor, rows: Rows) -> list[tuple[float, float]]:
        task, plan, placement = self._first.task, self._first.plan, self._first.placement
        stack = {name: it.to(placement.device) for name, it in self._pieces(vectors).items()}

        def measure(
            parameters: Mapping[str, Tensor], inputs: Inputs, labels: Tensor
        ) -> tuple[Tensor, Tensor]:
            outputs = self.call(parameters, inputs)
            return task.metric(outputs, labels), task.loss(outputs, labels)

        scores, losses = torch.zeros(2, len(vectors), dtype=torch.float64)
        for indices in torch.arange(len(rows)).split(plan.evaluation_batch_size):
            batch = rows.batch(indices).to(placement.device)
            with torch.no_grad(), placement.computing():
                of_batch = vmap(measure, in_dims=(0, None, None))(stack, batch.inputs, batch.labels)
            share = len(indices) / len(rows)
            scores += share * of_batch[0].cpu().double()
            losses += share * of_batch[1].cpu().double()
        return list(zip(scores.tolist(), losses.tolist(), strict=True))

    def _loss_of(self, parameters: Mapping[str, Tensor], inputs: Inputs, labels: Tensor) -> Tensor:
        return self._first.task.loss(self.call(parameters, inputs), labels)

    def _restore(self, states: Sequence[State]) -> tuple[dict[str, nn.Parameter], Optimizer]:
        """Make a stack, and an optimizer, that know what learners knew."""
        adapted, device = self._first.adapted, self._first.placement.device
        pieces = self._pieces(torch.stack([state[VECTOR] for state in states]))
        stack = {name: nn.Parameter(values.to(device)) for name, values in pieces.items()}
        optimizer = self._first.plan.step_rule.create_optimizer(stack, adapted.head_names)
        for place in (it for it in states[0] if it != VECTOR):
            key, name = split_optimizer_key(place)
            kept = [state[place] for state in states]
            optimizer.state[stack[name]][key] = (
                torch.stack(kept).to(device)
                if kept[0].ndim or not stack[name][0].ndim
                else kept[0].clone()
            )
        return stack, optimizer

    def _states(
        self, vectors: Tensor, stack: Stack, optimizer: Optimizer
    ) -> list[dict[str, Tensor]]:
        """Return what each learner of a stack, with these vectors, is to know."""
        states: list[dict[str, Tensor]] = [{VECTOR: vector} for vector in vectors]
        for name, parameter in stack.items():
            for key, value in optimizer.state.get(parameter, {}).items():
                if not isinstance(value, Tensor):
                    continue
                of_all = value.cpu() if value.shape == parameter.shape else [value] * len(states)
                for state, own in zip(states, of_all, strict=True):
                    state[optimizer_key(key, name)] = own
        return states

    def _pieces(self, vectors: Tensor) -> dict[str, Tensor]:
        """View vectors of shape (k, d) as parameters by name, shape (k, ...)."""
        entries = self.specification.entries
        pieces = vectors.split([entry.size for entry in entries], dim=1)
        return {
            entry.name: piece.reshape(len(vectors), *entry.shape)
            for entry, piece in zip(entries, pieces, strict=True)
        }


@final
class Families:
    """Finds the family of each learner."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[Family]] = {}
        self._family_of: WeakKeyDictionary[TaskLearner, Family | None] = WeakKeyDictionary()

    def find(self, learner: Learner) -> Family | None:
        """Return a learner's family; None if nothing of it can be stacked."""
        if not isinstance(learner, TaskLearner):
            return None
        try:
            family = self._family_of[learner]
        except KeyError:
            family = self._family_of[learner] = self._classify(learner)
        return None if family is None or family.is_dissolved else family

    def dissolve(self, family: Family) -> None:
        """See that none of a family is found again, as its model cannot be stacked."""
        family.is_dissolved = True

    def _classify(self, learner: TaskLearner) -> Family | None:
        if _model_bytes(learner) > _MODEL_BYTES_MAX:
            return None
        try:
            relatives = self._known.setdefault(_traits(learner), [])
        except TypeError:  # a rule or method of somebody's own that is no value
            return None
        for family in relatives:
            if family.has(learner):
                return family
        relatives.append(Family(learner))
        return relatives[-1]


def _traits(learner: TaskLearner) -> Hashable:
    task = learner.task
    computing = (learner.plan, learner.placement)
    model = (type(learner.method), learner.method, learner.specification, task.create_model)
    return model, computing, task.loss, task.metric


def _frozen(learner: TaskLearner) -> dict[str, Tensor]:
    """Return all tensors of a learner's model that do not train."""
    trained = {id(parameter) for parameter in learner.adapted.trainable.values()}
    model = learner.adapted.model
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor for name, tensor in tensors.items() if id(tensor) not in trained}


def _is_same(tensor: Tensor, other: Tensor) -> bool:
    if (tensor.dtype, tensor.shape, tensor.device) != (other.dtype, other.shape, other.device):
        return False
    return tensor.data_ptr() == other.data_ptr() or torch.equal(tensor, other)


def _model_bytes(learner: TaskLearner) -> int:
    return sum(parameter.nbytes for parameter in learner.adapted.model.parameters())


def _flat(stack: Stack) -> Tensor:
    """Return the vector of each model of a stack, shape (k, d), on the CPU."""
    with torch.no_grad():
        return torch.cat([values.flatten(1) for values in stack.values()], dim=1).cpu()


def _are_finite(vectors: Tensor) -> Tensor:
    """Return which rows have neither NaN nor infinity, shape (k,)."""
    found = torch.isfinite(vectors.sum(dim=1))  # takes a twentieth of looking at each value
    # A sum may be beyond the type.
    return found if bool(found.all()) else torch.isfinite(vectors).all(dim=1)


def _batches(starts: Sequence[Start]) -> Iterator[Examples]:
    """Yield the rows of each step, shape (k, b, ...)."""
    rows = JoinedRows.of([start.rows for start in starts])
    if rows is None:
        read = [[it.rows.batch(indices) for indices in it.batches] for it in starts]
        yield from map(_stacked, zip(*read, strict=True))
        return
    for indices in zip(*(start.batches for start in starts), strict=True):
        yield rows.batch(indices)


def _stacked(batches: Sequence[Examples]) -> Examples:
    """Return batches of one shape as one, shape (k, b, ...)."""
    labels = torch.stack([batch.labels for batch in batches])
    first = batches[0].inputs
    if isinstance(first, Tensor):
        return Examples(torch.stack([torch.as_tensor(it.inputs) for it in batches]), labels)
    named = [it.inputs for it in batches if not isinstance(it.inputs, Tensor)]
    return Examples({name: torch.stack([it[name] for it in named]) for name in first}, labels)
