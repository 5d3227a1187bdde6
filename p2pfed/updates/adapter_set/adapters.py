"""The adapter set: increments of all peers, from which everyone computes the same model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

import torch
from blake3 import blake3
from torch import Tensor

from p2pfed.errors import LocalError, RemoteError
from p2pfed.updates.adapter_set.compaction import check_compaction
from p2pfed.updates.adapter_set.increment import Increment, decode
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import Receipt
from p2pfed.updates.saved_bytes import from_bytes, to_bytes

_INCREMENT: Final = "increment/"
_WITHDRAWN: Final = "withdrawn/"


@final
class AdapterSet:
    """A replicated set of increments, and of those that are withdrawn; both only grow.

    Two sets that were told the same, in any order and however often, are equal and give equal
    models. The model is the base and the sum of all that count: those that are not withdrawn and
    not replaced by a compaction. Which compactions count follows from the set: from the shallowest
    on, and of equally deep ones from the lowest id on, each whose members all count up to then.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
        low-rank adaptations"; Shapiro et al. 2011, "Conflict-free replicated data types", sec. 3,
        for the set.
    Differs: no server merges a round's adapters into the base; all increments stay what they are.

    Args:
        terms: Of the run.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._increments: dict[bytes, Increment] = {}
        self._depths: dict[bytes, int] = {}
        self._withdrawn: set[bytes] = set()

    # What is known -------------------------------------------------------------------------

    def ids(self) -> tuple[bytes, ...]:
        """Return the ids of all increments, ascending."""
        return tuple(sorted(self._increments))

    def get(self, id: bytes) -> Increment | None:
        """Return an increment, to hand it on by its `data`; None if it is not here."""
        return self._increments.get(id)

    def withdrawn(self) -> tuple[bytes, ...]:
        """Return the ids of what is withdrawn, ascending, be it here or not."""
        return tuple(sorted(self._withdrawn))

    def missing(self, increment: Increment) -> tuple[bytes, ...]:
        """Return which members of a compaction have to be fetched before it can be checked."""
        return tuple(id for id in increment.members if id not in self._increments)

    def counting(self) -> tuple[bytes, ...]:
        """Return the ids of those of which the model is the sum, ascending."""
        found = {id for id in self._increments if self._depths[id] == 0} - self._withdrawn
        compactions = {id for id in self._increments if self._depths[id] > 0} - self._withdrawn
        for id in sorted(compactions, key=lambda each: (self._depths[each], each)):
            members = set(self._increments[id].members)
            if members <= found:
                found = (found - members) | {id}
        return tuple(sorted(found))

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the whole state: equal sets have equal ones."""
        state = blake3()
        for ids in (self.ids(), self.withdrawn()):
            state.update(len(ids).to_bytes(8, "little") + b"".join(ids))
        return state.digest()

    # What happens --------------------------------------------------------------------------

    def add(self, increment: Increment) -> Receipt:
        """Take in an increment of a verified update.

        Args:
            increment: As `increment.decode` gave it.

        Returns:
            `gap` for a compaction of which `missing` are not here; it is then not taken in.

        Raises:
            CodecError: If it is a compaction and is not what it replaces. All refuse it.
        """
        if increment.id in self._increments:
            return Receipt.DUPLICATE
        if self.missing(increment):
            return Receipt.GAP
        members = [self._increments[id] for id in increment.members]
        if members:
            check_compaction(increment, members, self.terms)
        self._put(increment)
        return Receipt.APPLIED

    def withdraw(self, ids: Iterable[bytes]) -> None:
        """Let increments not count any more, such as those of an author proven to lie.

        A compaction of one of them does not count either, and the other members count again.

        Args:
            ids: Of increments, be they here already or not.
        """
        self._withdrawn.update(ids)

    def join(self, other: "AdapterSet") -> None:
        """Take in all that another set of this program knows.

        Raises:
            LocalError: If it has other terms.
        """
        if other.terms != self.terms:
            raise LocalError("two adapter sets of different terms have nothing in common")
        for id in sorted(other._increments, key=lambda each: other._depths[each]):
            if id not in self._increments:
                self._put(other._increments[id])
        self.withdraw(other._withdrawn)

    # What follows from it ------------------------------------------------------------------

    def materialize(self, start: Sequence[Tensor]) -> list[Tensor]:
        """Compute the model: the same bits wherever the set is the same, on any machine.

        Products of factors are whole numbers that float64 holds, so the order within them does
        not matter; each is scaled and added in float64, in ascending order of ids, and the result
        is rounded once.

        Args:
            start: The weights of the base, one for each shape, float32, any device with float64.

        Returns:
            Newly allocated, on that device.

        Raises:
            LocalError: If `start` is something else.
        """
        shapes = [tuple(each.shape) for each in start]
        if shapes != list(self.terms.shapes) or any(it.dtype != torch.float32 for it in start):
            raise LocalError(f"start of shapes {shapes}, expected {self.terms.shapes} in float32")
        counting = [self._increments[id] for id in self.counting()]
        return [self._add_up(layer, weight, counting) for layer, weight in enumerate(start)]

    def _add_up(self, layer: int, start: Tensor, counting: Sequence[Increment]) -> Tensor:
        total = torch.zeros(start.shape, dtype=torch.float64, device=start.device)
        for each in counting:
            factors = each.layers[layer]
            if factors is None:
                continue
            left, right = (
                torch.from_numpy(it).to(start.device).double()
                for it in (factors.left, factors.right)
            )
            product = left @ right
            product *= each.weight * factors.scale
            total += product
        total += start
        return total.float()

    # Saving --------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return all increments and what is withdrawn, as tensors by name."""
        state = {_INCREMENT + id.hex(): from_bytes(it.data) for id, it in self._increments.items()}
        return state | {_WITHDRAWN + id.hex(): torch.ones(1) for id in self._withdrawn}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of other terms.
        """
        restored = AdapterSet(self.terms)
        try:
            waiting = {
                name: decode(to_bytes(tensor), self.terms)
                for name, tensor in state.items()
                if name.startswith(_INCREMENT)
            }
            names = [name for name in state if name.startswith(_WITHDRAWN)]
            restored.withdraw(bytes.fromhex(name.removeprefix(_WITHDRAWN)) for name in names)
        except (RemoteError, ValueError) as error:
            raise LocalError(f"the saved state holds no adapter set: {error}") from error
        while waiting:
            ready = [name for name, each in waiting.items() if not restored.missing(each)]
            if not ready:
                raise LocalError("the saved state holds compactions without their members")
            for name in ready:
                restored._put(waiting.pop(name))
        self._increments, self._depths = restored._increments, restored._depths
        self._withdrawn = restored._withdrawn

    # Inside --------------------------------------------------------------------------------

    def _put(self, increment: Increment) -> None:
        depths = [self._depths[id] for id in increment.members]
        self._increments[increment.id] = increment
        self._depths[increment.id] = 1 + max(depths) if depths else 0
