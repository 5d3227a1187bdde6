"""What one author has added up."""

from dataclasses import dataclass
from typing import final

import numpy as np
from blake3 import blake3

from p2pfed.errors import LimitExceeded
from p2pfed.updates.sparse_sum import snapshot
from p2pfed.updates.sparse_sum.operation import Operation
from p2pfed.updates.sparse_sum.terms import Integers, Terms


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuthorLog:
    """The sums after some operation of one author in one incarnation; a value, never changed.

    Attributes:
        terms: Of the run.
        sequence: Of its last operation; 0 before the first.
        sums: In units, shape (d,), int64.
    """

    terms: Terms
    sequence: int
    sums: Integers
    sums_digest: bytes

    @classmethod
    def empty(cls, terms: Terms) -> "AuthorLog":
        """Return the log before the first operation."""
        return cls._of(terms, 0, np.zeros(terms.size, dtype=np.int64))

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the sums, 8 bytes each, little-endian."""
        return self.sums_digest

    def then(self, places: Integers, amounts: Integers) -> "AuthorLog":
        """Return the log with one more operation.

        Raises:
            LimitExceeded: If the author would move a value by more than its budget.
        """
        sums = self.sums.copy()
        sums[places] += amounts
        largest = int(np.abs(sums[places]).max(initial=0))
        if largest > self.terms.budget_units:
            reached = largest * self.terms.unit
            raise LimitExceeded(f"an author's sum of {reached:g}, at most {self.terms.budget:g}")
        return self._of(self.terms, self.sequence + 1, sums)

    def append(self, operation: Operation) -> "AuthorLog":
        """Return the log with the next operation.

        Raises:
            LimitExceeded: As `then`.
        """
        return self.then(operation.places, operation.amounts)

    def snapshot(self) -> bytes:
        """Return the sums as bytes for a newcomer."""
        return snapshot.encode(self.sums)

    @classmethod
    def restore(cls, terms: Terms, sequence: int, data: bytes | memoryview) -> "AuthorLog":
        """Read a snapshot.

        Args:
            terms: Of the run.
            sequence: Of the operation after which it was made.
            data: Any bytes, from anybody.

        Raises:
            CodecError: If they are not a snapshot within the terms.
        """
        return cls._of(terms, sequence, snapshot.decode(data, terms.size, terms.budget_units))

    @classmethod
    def _of(cls, terms: Terms, sequence: int, sums: Integers) -> "AuthorLog":
        digest = blake3(sums.astype("<i8", copy=False).view(np.uint8).data).digest()
        return cls(terms=terms, sequence=sequence, sums=sums, sums_digest=digest)
