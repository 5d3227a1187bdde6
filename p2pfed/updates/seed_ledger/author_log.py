"""What one author has added up: its sums by epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from blake3 import blake3

from p2pfed.errors import CodecError, LimitExceeded
from p2pfed.updates.log import DIGEST_BYTES
from p2pfed.updates.seed_ledger import varints
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuthorLog:
    """The sums after some operation of one author in one incarnation; a value, never changed.

    Attributes:
        terms: Of the run.
        sequence: Of its last operation; 0 before the first.
        sums: Epoch to the sums of its coefficients, shape (K,), int64, in ascending order; epochs
            whose sums are all zero are left out.
        hashes: Epoch to the BLAKE3-256 of its sums' bytes.
    """

    terms: Terms
    sequence: int = 0
    sums: Mapping[int, Integers] = field(default_factory=dict)
    hashes: Mapping[int, bytes] = field(default_factory=dict)

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of all sums: of each epoch, its number and its hash."""
        state = blake3()
        for epoch, sums_hash in self.hashes.items():
            state.update(epoch.to_bytes(8, "little") + sums_hash)
        return state.digest()

    def then(self, epoch: int, coefficients: Integers) -> "AuthorLog":
        """Return the log with one more operation.

        Raises:
            LimitExceeded: If the author would move more in the epoch than its budget allows.
        """
        before = self.sums.get(epoch)
        total = coefficients.copy() if before is None else before + coefficients
        check_budget(total, self.terms)
        return self._with_sums(self.sequence + 1, {**self.sums, epoch: total}, changed=epoch)

    def append(self, operation: Operation) -> "AuthorLog":
        """Return the log with the next operation.

        Raises:
            LimitExceeded: As `then`.
        """
        return self.then(operation.epoch, operation.coefficients)

    def fit(
        self, epoch: int, coefficients: Integers, others: Sequence["AuthorLog"] = ()
    ) -> Integers:
        """Return coefficients that the budget has room for: halved until it has.

        Args:
            epoch: Whose directions.
            coefficients: Shape (K,), int64.
            others: Logs of the author's other lives, which share the budget.
        """
        nothing = np.zeros_like(coefficients)
        before = self.sums.get(epoch, nothing)
        together = before + sum((other.sums.get(epoch, nothing) for other in others), nothing)
        # Lives that have spent more than the budget may still come back to it.
        most = max(self.terms.budget**2, int(np.dot(together, together)))
        while coefficients.any():
            after = together + coefficients
            is_room = int(np.dot(after, after)) <= most
            if is_room and is_within_budget(before + coefficients, self.terms):
                break
            coefficients = np.sign(coefficients) * (np.abs(coefficients) // 2)
        return coefficients

    def snapshot(self) -> bytes:
        """Return the sums as bytes for a newcomer: K small numbers per epoch.

        The number of epochs, then of each epoch in ascending order its number and its sums
        zigzagged, all of it varints.
        """
        parts = [varints.pack(np.array([len(self.sums)]))]
        for epoch, sums in self.sums.items():
            parts += [varints.pack(np.array([epoch])), _sums_bytes(sums)]
        return b"".join(parts)

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
        (count,), position = varints.unpack(data, 0, 1)
        sums: dict[int, Integers] = {}
        last_epoch = -1
        for _ in range(int(count)):
            (epoch,), position = varints.unpack(data, position, 1)
            if not last_epoch < epoch < terms.epoch_count:
                raise CodecError(f"sums of epoch {epoch} of {terms.epoch_count}")
            last_epoch = int(epoch)
            numbers, position = varints.unpack(data, position, terms.direction_count)
            sums[last_epoch] = varints.unzigzag(numbers)
            if not numbers.any():
                raise CodecError(f"sums of epoch {epoch} that are all zero")
            check_budget(sums[last_epoch], terms)
        if position != len(data):
            raise CodecError("bytes after the end of a snapshot")
        hashes = {epoch: blake3(_sums_bytes(each)).digest() for epoch, each in sums.items()}
        return cls(terms=terms, sequence=sequence, sums=sums, hashes=hashes)

    def _with_sums(
        self, sequence: int, sums: Mapping[int, Integers], *, changed: int
    ) -> "AuthorLog":
        kept = {epoch: sums[epoch] for epoch in sorted(sums)}
        hashes = dict(self.hashes)
        if kept[changed].any():
            hashes[changed] = blake3(_sums_bytes(kept[changed])).digest()
        else:
            del kept[changed]
            hashes.pop(changed, None)
        ordered = {epoch: hashes[epoch] for epoch in kept}
        return AuthorLog(terms=self.terms, sequence=sequence, sums=kept, hashes=ordered)


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that a snapshot can have, its digest included."""
    # No sum is longer than the budget, and zigzagged it is twice as large.
    count, epoch, each = (
        -(-most.bit_length() // 7)
        for most in (terms.epoch_count, max(terms.epoch_count - 1, 1), 2 * terms.budget)
    )
    return DIGEST_BYTES + count + terms.epoch_count * (epoch + terms.direction_count * each)


def check_budget(sums: Integers, terms: Terms) -> None:
    """Refuse sums of one author and epoch that are longer than the budget.

    Raises:
        LimitExceeded: If they are.
    """
    if not is_within_budget(sums, terms):
        raise LimitExceeded(f"sums of an epoch are longer than {terms.budget}")


def is_within_budget(sums: Integers, terms: Terms) -> bool:
    """Return whether the Euclidean norm of sums is at most the budget, computed exactly."""
    # Squares of what passes the first test sum to less than 2^62: `Terms` has seen to that.
    is_each = int(np.abs(sums).max()) <= terms.budget
    return is_each and int(np.dot(sums, sums)) <= terms.budget**2


def clip(sums: Integers, terms: Terms) -> Integers:
    """Return what counts of the sums of one author and epoch in all its lives.

    Sums that are longer than the budget are shortened to it, each towards zero: exact, and so the
    same everywhere.
    """
    # Squares of 8 lives within the budget sum to less than 2^62: `Terms` has seen to that.
    square = int(np.dot(sums, sums))
    if square <= terms.budget**2:
        return sums
    length = math.isqrt(square - 1) + 1  # rounded up
    shortened: Integers = np.sign(sums) * (np.abs(sums) * terms.budget // length)
    return shortened


def _sums_bytes(sums: Integers) -> bytes:
    return varints.pack(varints.zigzag(sums))
