"""Difference gossip: compression that neither moves the peers' mean nor stops their agreement.

A vector that is compressed anew every time never arrives: peers agree no better than the codec's
error, and on a mean that drifts. Here every peer keeps public copies, one of itself and one of
each neighbor, and sends only the compressed difference between its vector and its own copy. All
who hold that copy add the same decoded difference, so that copies of one peer are the same to the
bit everywhere; and as vectors come to rest, differences and their errors vanish.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import CodecError, LocalError
from p2pfed.identity import PeerId
from p2pfed.messages import UpdateKind
from p2pfed.updates.codec import Codec, check_contractive, is_finite
from p2pfed.updates.codecs import Float32
from p2pfed.updates.construction import check_number

_FULL_CODEC: Final = Float32()  # a copy that is off by one bit stays off by it for ever
_OWN: Final = "own"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What one peer says to all its neighbors, and where it stands in what that peer says.

    Attributes:
        incarnation: Of its author.
        sequence: Counts up within the incarnation, from 1; numbers may be left out.
        kind: DIFFERENCE, in the run's codec, or FULL, in float32.
        base: Sequence of the copy that a difference is added to; 0 is the run's initial vector,
            and for a full one it is 0.
        data: The encoding.
    """

    incarnation: int
    sequence: int
    kind: UpdateKind
    base: int
    data: bytes


class Reception(Enum):
    """What became of a publication: the copy is new, was newer already, or lacks one before it.

    After a GAP the copy stays as it was, and only a full publication or the missing ones help.
    """

    APPLIED = "applied"
    KNOWN = "known"
    GAP = "gap"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublicCopy:
    """What all who follow a peer know it by.

    Attributes:
        incarnation: Of the peer.
        sequence: The publication applied last, 0 before the first.
        vector: Shape (d,), float32; never changed.
    """

    incarnation: int
    sequence: int
    vector: Tensor


@final
class DifferenceGossip:
    """The public copies of one peer and its neighbors.

    A round: take local steps to a new vector x; `publish` x; `receive` what neighbors published;
    combine `own.vector` and the rows of `neighbors` into a target by any rule; go on from
    `step(x, target)`. Vectors are differences from the run's initial one, which is why copies
    begin at 0. If the target is a weighted mean with symmetric weights, and everybody's copies
    are of the same age, the mean over all peers is exactly what it would be without compression.

    Source: Koloskova, Stich, Jaggi 2019, "Decentralized stochastic optimization and gossip
    algorithms with compressed communication", alg. 1 (CHOCO-Gossip) and alg. 2 (CHOCO-SGD).
    Differs: a copy of every neighbor is kept instead of their weighted sum, so that any rule may
    combine them, weights may change, and a neighbor that lost track can be given a full copy.

    Args:
        codec: One that keeps part of every vector.
        size: d.
        gamma: Share of the way to the target, in (0, 1]: 1 for int8, int4 and finer, about the
            share of energy that the codec keeps for coarser ones. Too large a share diverges.
        incarnation: Of this peer; another one after its copies were lost.

    Raises:
        ConfigError: If the codec can lose a vector as a whole, or gamma is out of range.
    """

    def __init__(self, codec: Codec, size: int, *, gamma: float, incarnation: int = 0) -> None:
        check_contractive(codec, "difference gossip")
        if gamma != 1:
            check_number(gamma, "difference_gossip.gamma", above=0, below=1)
        self.codec = codec
        self.size = size
        self.gamma = gamma
        self._own = self._initial(incarnation)
        self._copies: dict[PeerId, PublicCopy] = {}

    @property
    def own(self) -> PublicCopy:
        """The public copy of this peer."""
        return self._own

    @property
    def neighbors(self) -> Mapping[PeerId, PublicCopy]:
        """The public copies of the others, in ascending order of their ids."""
        return {peer: self._copies[peer] for peer in sorted(self._copies)}

    def publish(self, vector: Tensor, *, sequence: int, is_full: bool = False) -> Publication:
        """Bring the own public copy nearer to the own vector, or all the way.

        Args:
            vector: Shape (d,), float32, finite.
            sequence: Above the one before it.
            is_full: Whether somebody asked for a full copy; everybody's becomes the vector.

        Returns:
            The same for all neighbors.

        Raises:
            LocalError: If the vector cannot be encoded or the sequence is not above the last one;
                nothing is changed.
        """
        before = self._own
        if vector.shape != (self.size,) or sequence <= before.sequence:
            raise LocalError(
                f"publication {sequence} of shape {tuple(vector.shape)}, expected ({self.size},) "
                f"and a sequence above {before.sequence}"
            )
        data = (_FULL_CODEC if is_full else self.codec).encode(
            vector if is_full else vector.detach() - before.vector
        )
        published = Publication(
            incarnation=before.incarnation,
            sequence=sequence,
            kind=UpdateKind.FULL if is_full else UpdateKind.DIFFERENCE,
            base=0 if is_full else before.sequence,
            data=data,
        )
        try:
            # As a receiver would: the copies are the same only if they come from the same bytes.
            self._own = self._applied(before, published)
        except CodecError as error:
            raise LocalError(f"the own vector cannot be published: {error}") from error
        return published

    def receive(self, peer: PeerId, published: Publication) -> Reception:
        """Apply a neighbor's publication to the copy of it.

        Args:
            peer: Its author. A new incarnation of it begins anew: tell real ones from replayed
                ones before.
            published: Its data may be any bytes.

        Raises:
            RemoteError: If they are no vector of this run, or the copy would be infinite; nothing
                is changed.
        """
        copy = self._copies.get(peer)
        if copy is None or copy.incarnation != published.incarnation:
            copy = self._initial(published.incarnation)
        if published.sequence <= copy.sequence:
            return Reception.KNOWN
        if published.kind is UpdateKind.DIFFERENCE and published.base != copy.sequence:
            return Reception.GAP
        self._copies[peer] = self._applied(copy, published)
        return Reception.APPLIED

    def step(self, vector: Tensor, target: Tensor) -> Tensor:
        """Return the own vector after it moved as far as the own copy would towards the target.

        Args:
            vector: The own one, shape (d,).
            target: What the rule made of the own copy and those of the neighbors, shape (d,).
        """
        return vector + self.gamma * (target - self._own.vector)

    def forget(self, peer: PeerId) -> None:
        """Drop the copy of a peer that is no neighbor any more; 4 d bytes each."""
        self._copies.pop(peer, None)

    def state(self) -> dict[str, Tensor]:
        """Return all copies, by names that say whose and which they are."""
        saved = {_name(_OWN, self._own): self._own.vector}
        for peer, copy in self.neighbors.items():
            saved[_name(bytes(peer).hex(), copy)] = copy.vector
        return saved

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of another size; nothing is changed.
        """
        own = None
        copies: dict[PeerId, PublicCopy] = {}
        for name, vector in state.items():
            whose, copy = self._loaded(name, vector)
            if whose == _OWN:
                own = copy
            else:
                copies[PeerId(bytes.fromhex(whose))] = copy
        if own is None:
            raise LocalError("the saved state holds no public copy of this peer")
        self._own, self._copies = own, copies

    def _applied(self, copy: PublicCopy, published: Publication) -> PublicCopy:
        if published.kind is UpdateKind.FULL:
            vector = _FULL_CODEC.decode(published.data, self.size)
        elif published.kind is UpdateKind.DIFFERENCE:
            vector = copy.vector + self.codec.decode(published.data, self.size)
        else:
            raise CodecError(f"a {published.kind} is neither a difference nor full")
        if not is_finite(vector):
            raise CodecError(f"{self.codec.name}: differences that add up to infinity")
        return PublicCopy(incarnation=copy.incarnation, sequence=published.sequence, vector=vector)

    def _initial(self, incarnation: int) -> PublicCopy:
        return PublicCopy(incarnation=incarnation, sequence=0, vector=torch.zeros(self.size))

    def _loaded(self, name: str, vector: Tensor) -> tuple[str, PublicCopy]:
        if tuple(vector.shape) != (self.size,) or vector.dtype != torch.float32:
            raise LocalError(f"the saved copy {name} is no float32 vector of {self.size} values")
        try:
            whose, incarnation, sequence = name.split(".")
            copy = PublicCopy(
                incarnation=int(incarnation), sequence=int(sequence), vector=vector.clone()
            )
            if whose != _OWN:
                bytes.fromhex(whose)
        except ValueError as error:
            raise LocalError(f"the saved copy {name} does not say whose it is") from error
        return whose, copy


def _name(whose: str, copy: PublicCopy) -> str:
    return f"{whose}.{copy.incarnation}.{copy.sequence}"
