"""What one author has added."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from blake3 import blake3

from p2pfed.errors import CodecError, LimitExceeded
from p2pfed.updates.adapter_set import increment as increments
from p2pfed.updates.adapter_set.compaction import check_compaction
from p2pfed.updates.adapter_set.increment import Increment
from p2pfed.updates.adapter_set.operation import Operation
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import DIGEST_BYTES
from p2pfed.updates.seed_ledger import varints


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuthorLog:
    """The increments of one author in one incarnation that count; a value, never changed.

    Attributes:
        terms: Of the run.
        sequence: Of its last operation; 0 before the first.
        increments: In the order in which they came; where they were compacted, the compaction is
            the first. None is empty.
    """

    terms: Terms
    sequence: int = 0
    increments: tuple[Increment, ...] = ()

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the ids, one after the other."""
        return blake3(b"".join(each.id for each in self.increments)).digest()

    def reach(self) -> float:
        """Return a bound of what the author could have added to any entry of a weight."""
        return reach_of(self.increments)

    def then(self, increment: Increment, compaction: Increment | None) -> "AuthorLog":
        """Return the log with one more operation.

        Raises:
            LimitExceeded: If too many increments would count, or they could add up to more than
                the budget.
            CodecError: If the compaction is not what it replaces.
        """
        after = self.increments
        if compaction is not None:
            check_compaction(compaction, after, self.terms)
            after = () if compaction.is_empty else (compaction,)
        if not increment.is_empty:
            after = (*after, increment)
        _check(after, self.terms)
        return replace(self, sequence=self.sequence + 1, increments=after)

    def append(self, operation: Operation) -> "AuthorLog":
        """Return the log with the next operation.

        Raises:
            LimitExceeded: As `then`.
            CodecError: As `then`.
        """
        return self.then(operation.increment, operation.compaction)

    def snapshot(self) -> bytes:
        """Return the increments as bytes for a newcomer."""
        return pack(self.increments)

    @classmethod
    def restore(cls, terms: Terms, sequence: int, data: bytes | memoryview) -> "AuthorLog":
        """Read a snapshot.

        Args:
            terms: Of the run.
            sequence: Of the operation after which it was made.
            data: Any bytes, from anybody.

        Raises:
            CodecError: If they are not a snapshot within the terms.
            LimitExceeded: As `then`.
        """
        return cls(terms=terms, sequence=sequence, increments=unpack(data, terms))


def pack(members: Sequence[Increment]) -> bytes:
    """Return increments as bytes: their number, then of each its length and itself."""
    parts = [varints.pack(np.array([len(members)]))]
    for each in members:
        parts += [varints.pack(np.array([len(each.data)])), each.data]
    return b"".join(parts)


def unpack(data: bytes | memoryview, terms: Terms) -> tuple[Increment, ...]:
    """Read what `pack` wrote.

    Raises:
        CodecError: If these bytes are not increments within the terms, none of them empty.
        LimitExceeded: If they are too many, or could add up to more than the budget.
    """
    (count,), position = varints.unpack(data, 0, 1)
    if count > terms.open_max:
        raise LimitExceeded(f"{count} increments of one author, at most {terms.open_max}")
    members = []
    for _ in range(int(count)):
        (length,), position = varints.unpack(data, position, 1)
        end = position + int(length)
        if end > len(data):
            raise CodecError("increments that end early")
        members.append(increments.decode(data[position:end], terms))
        if members[-1].is_empty:
            raise CodecError("an increment of nothing that counts")
        position = end
    if position != len(data):
        raise CodecError("bytes after the last increment")
    _check(members, terms)
    return tuple(members)


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that a snapshot can have, its digest included."""
    each = varints.BYTES_MAX + increments.bytes_max(terms)
    return DIGEST_BYTES + varints.BYTES_MAX + terms.open_max * each


def _check(members: Sequence[Increment], terms: Terms) -> None:
    if len(members) > terms.open_max:
        raise LimitExceeded(
            f"{len(members)} increments of one author, at most {terms.open_max} before a compaction"
        )
    if reach_of(members) > terms.budget:
        raise LimitExceeded(
            f"increments that could add up to {reach_of(members):g}, at most {terms.budget:g}"
        )


def reach_of(members: Sequence[Increment]) -> float:
    """Return a bound of what increments could add to any entry of a weight, in whatever order."""
    return math.fsum(each.reach() for each in members)
