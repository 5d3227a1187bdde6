"""What everybody knows of each peer's vector, where updates are rounded differences."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.core.effects import IntegrationRow, OwnPlace
from p2pfed.errors import CodecError, LocalError
from p2pfed.identity import PeerId
from p2pfed.learn.decoded import FULL_CODEC
from p2pfed.limits import PUBLIC_KEY_BYTES, Limits
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec, check_contractive, is_finite

_OWN: Final = "public/own"
_PENDING: Final = "public/pending"
_NEIGHBOR: Final = "public/of/"
_PLACE: Final = "/place"
_NEIGHBORS_MAX: Final = Limits().neighbors_max


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublicCopy:
    """What all who follow a peer hold of its vector, the peer itself included: the same bits.

    Attributes:
        incarnation: Of the peer, when it signed the latest update in it.
        sequence: Of that update; 0 before the first.
        vector: The sum of its updates: difference from the initial vector, shape (d,), float32,
            never changed.
    """

    incarnation: int
    sequence: int
    vector: Tensor


@final
class PublicCopies:
    """The own public copy and those of neighbors, for difference-compressed gossip (CHOCO).

    A peer sends Q(x - y), rounded by its codec, where y is its public copy, and everybody adds
    that to y. Integration moves the own vector by how far it moves the own public copy, so that
    what rounding left out is kept in x and sent later: the mean over peers moves by nothing.
    Rounded vectors themselves, gossiped again and again, lose the mean.

    A sum of float32 in one order gives the same bits on every machine, so copies of one peer agree
    as long as they sum the same updates: sequences say so. Who missed one asks for a full update,
    which is not rounded.

    Args:
        codec: Encodes differences; one that keeps part of every vector.
        size: d.

    Raises:
        ConfigError: If the codec can lose a vector as a whole.

    Source: Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip
        algorithms with compressed communication", algorithm 2 (CHOCO-SGD).
    Differs: one copy per neighbor in place of their weighted sum, so that a robust rule can see
        rows, and rounds may be out of step.
    """

    def __init__(self, codec: Codec, size: int) -> None:
        check_contractive(codec, "difference gossip")
        self._codec = codec
        self._size = size
        self._own = _nothing(size)
        self._pending: PublicCopy | None = None
        self._of_neighbors: OrderedDict[PeerId, PublicCopy] = OrderedDict()

    # The own one -----------------------------------------------------------------------------

    def encode(self, vector: Tensor, place: OwnPlace) -> tuple[bytes, bool]:
        """Encode the own vector as the update that follows a place.

        It is not out yet: only the next call tells, by its place.

        Args:
            vector: Difference from the initial one, shape (d,), float32.
            place: The newest own update that is out.

        Returns:
            The bytes, and whether they are a full update.

        Raises:
            LocalError: If the vector cannot be encoded.
        """
        base = self._settle(place)
        if base is None or place.needs_full:
            data, public = FULL_CODEC.encode(vector), vector.clone()
        else:
            data = self._codec.encode(vector - base)
            public = base + self._codec.decode(data, self._size)
        self._pending = PublicCopy(
            incarnation=place.incarnation, sequence=place.sequence + 1, vector=public
        )
        return data, base is None or place.needs_full

    def own(self, place: OwnPlace) -> Tensor | None:
        """Return the own public copy, shape (d,); None if it is lost and a full update is due."""
        return self._settle(place)

    def _settle(self, place: OwnPlace) -> Tensor | None:
        """Find out whether the pending update went out, and return the copy at a place."""
        if self._pending is not None and _is_at(self._pending, place):
            self._own, self._pending = self._pending, None
        return self._own.vector if _is_at(self._own, place) else None

    # Those of neighbors ----------------------------------------------------------------------

    def follow(
        self, row: IntegrationRow, decode: Callable[[UpdateHeader], Tensor]
    ) -> PublicCopy | None:
        """Return a neighbor's copy with a row and what it builds on, and change nothing.

        Args:
            row: The neighbor's updates.
            decode: Returns what an update holds, shape (d,).

        Returns:
            The copy for `commit`, None if an update in between is missing.

        Raises:
            RemoteError: If `decode` does, or differences add up to infinity.
        """
        copy = self._of_neighbors.get(row.peer)
        headers = (*row.before, row.header)
        full = [index for index, it in enumerate(headers) if it.kind is UpdateKind.FULL]
        for header in headers[full[-1] if full else 0 :]:
            is_followed = copy is not None and copy.incarnation == header.incarnation
            if is_followed and copy is not None and header.sequence <= copy.sequence:
                continue
            if header.kind is UpdateKind.FULL:
                vector = decode(header)
            elif is_followed and copy is not None and header.base == copy.sequence:
                vector = copy.vector + decode(header)
            elif header.base == 0:
                vector = decode(header)  # on top of the initial vector
            else:
                return None
            if not is_finite(vector):
                raise CodecError(f"{self._codec.name}: differences that add up to infinity")
            copy = PublicCopy(
                incarnation=header.incarnation, sequence=header.sequence, vector=vector
            )
        return copy

    def commit(self, copies: Mapping[PeerId, PublicCopy]) -> None:
        """Keep copies of neighbors, and forget those used longest ago if there are too many."""
        for peer in sorted(copies):
            self._of_neighbors[peer] = copies[peer]
            self._of_neighbors.move_to_end(peer)
        while len(self._of_neighbors) > _NEIGHBORS_MAX:
            self._of_neighbors.popitem(last=False)

    # Saving ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return all copies, as tensors by name."""
        copies = {_OWN: self._own, _PENDING: self._pending}
        copies |= {_NEIGHBOR + peer.hex(): copy for peer, copy in self._of_neighbors.items()}
        state = {}
        for name, copy in copies.items():
            if copy is not None and copy.sequence > 0:
                state[name] = copy.vector
                incarnation = int.from_bytes(copy.incarnation.to_bytes(8), signed=True)
                state[name + _PLACE] = torch.tensor([incarnation, copy.sequence])
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of another model.
        """
        self._own, self._pending = _nothing(self._size), None
        self._of_neighbors.clear()
        for name in state:
            if name.endswith(_PLACE):
                continue
            copy = self._read(name, state)
            if name == _OWN:
                self._own = copy
            elif name == _PENDING:
                self._pending = copy
            else:
                self._of_neighbors[_peer(name)] = copy

    def _read(self, name: str, state: Mapping[str, Tensor]) -> PublicCopy:
        vector, place = state[name], state.get(name + _PLACE)
        is_place = place is not None and (place.shape, place.dtype) == ((2,), torch.int64)
        is_vector = (vector.shape, vector.dtype) == ((self._size,), torch.float32)
        if place is None or not is_place or not is_vector:
            raise LocalError(f"the saved state has {name}, which does not fit this model")
        incarnation, sequence = place.tolist()
        unsigned = int.from_bytes(incarnation.to_bytes(8, signed=True))
        return PublicCopy(incarnation=unsigned, sequence=sequence, vector=vector)


def _is_at(copy: PublicCopy, place: OwnPlace) -> bool:
    # Before the first update, all incarnations are alike.
    is_same_life = copy.sequence == 0 or copy.incarnation == place.incarnation
    return is_same_life and copy.sequence == place.sequence


def _nothing(size: int) -> PublicCopy:
    """Return the copy before the first update, which all peers know."""
    return PublicCopy(incarnation=0, sequence=0, vector=torch.zeros(size))


def is_public_state(name: str) -> bool:
    """Tell whether a saved tensor is one of `PublicCopies.state`."""
    return name.startswith("public/")


def _peer(name: str) -> PeerId:
    text = name.removeprefix(_NEIGHBOR)
    if len(text) != 2 * PUBLIC_KEY_BYTES or not set(text) <= set("0123456789abcdef"):
        raise LocalError(f"the saved state has {name}, which names no peer")
    return PeerId(bytes.fromhex(text))
