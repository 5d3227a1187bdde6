"""What one update of a SeedLedger carries, and its bytes.

Layout of the bytes, every number a varint:

    form           1 byte: 0 sparse, 1 dense
    epoch, steps
    digest         32 bytes: of the author's sums after this operation
    sparse:        count, then of each coefficient that is not zero its gap, the directions skipped
                   since the one before, and itself zigzagged
    dense:         all K coefficients zigzagged

The form is the shorter of the two, and sparse if they are equally long: an operation has one
encoding. Author, sequence and signature are those of the update around it.
"""

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from p2pfed.errors import CodecError
from p2pfed.updates.log import DIGEST_BYTES
from p2pfed.updates.seed_ledger import varints
from p2pfed.updates.seed_ledger.terms import STEPS_MAX, Terms
from p2pfed.updates.seed_ledger.varints import Integers

_SPARSE: Final = 0
_DENSE: Final = 1


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One entry of an author's log.

    Attributes:
        epoch: Whose directions it moves along.
        step_count: Local steps that it stands for.
        coefficients: Shape (K,), int64, what is added to the author's sums of the epoch.
        digest: What `AuthorLog.digest` is after it.
    """

    epoch: int
    step_count: int
    coefficients: Integers
    digest: bytes


def encode(operation: Operation) -> bytes:
    """Return the bytes of an operation."""
    coefficients = operation.coefficients
    head = varints.pack(np.array([operation.epoch, operation.step_count])) + operation.digest
    indices = np.flatnonzero(coefficients)
    pairs = np.empty(2 * len(indices), dtype=np.int64)
    pairs[0::2] = np.diff(indices, prepend=-1) - 1
    pairs[1::2] = varints.zigzag(coefficients[indices])
    sparse = varints.pack(np.array([len(indices)])) + varints.pack(pairs)
    if len(sparse) > len(coefficients):  # else dense is no shorter
        dense = varints.pack(varints.zigzag(coefficients))
        if len(dense) < len(sparse):
            return bytes([_DENSE]) + head + dense
    return bytes([_SPARSE]) + head + sparse


def decode(data: bytes | memoryview, terms: Terms) -> Operation:
    """Read an operation of another peer.

    Args:
        data: Any bytes.
        terms: Of the run.

    Raises:
        CodecError: If they are not the encoding of an operation within the terms.
    """
    count = terms.direction_count
    if len(data) > bytes_max(terms):
        raise CodecError(f"an operation of {len(data)} bytes, at most {bytes_max(terms)}")
    if not data or data[0] not in (_SPARSE, _DENSE):
        raise CodecError("an operation of neither form")
    (epoch, step_count), position = varints.unpack(data, 1, 2)
    if epoch >= terms.epoch_count or not 1 <= step_count <= STEPS_MAX:
        raise CodecError(f"an operation of {step_count} steps in epoch {epoch}")
    digest, position = bytes(data[position : position + DIGEST_BYTES]), position + DIGEST_BYTES
    if data[0] == _SPARSE:
        coefficients, position = _read_sparse(data, position, count)
    else:
        numbers, position = varints.unpack(data, position, count)
        coefficients = varints.unzigzag(numbers)
    largest = int(np.abs(coefficients).max())
    if largest > terms.coefficient_max:
        raise CodecError(f"a coefficient of {largest}, at most {terms.coefficient_max}")
    operation = Operation(
        epoch=int(epoch), step_count=int(step_count), coefficients=coefficients, digest=digest
    )
    # Finds bytes after the end, coefficients of zero, and the longer of two forms.
    if encode(operation) != data:
        raise CodecError("an operation that is not in its one encoding")
    return operation


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that an operation can have."""
    # No longer than its dense form, whose numbers reach twice the largest coefficient.
    epoch, steps, each = (
        -(-most.bit_length() // 7)
        for most in (max(terms.epoch_count - 1, 1), STEPS_MAX, 2 * terms.coefficient_max)
    )
    return 1 + epoch + steps + DIGEST_BYTES + terms.direction_count * each


def _read_sparse(
    data: bytes | memoryview, position: int, direction_count: int
) -> tuple[Integers, int]:
    (count,), position = varints.unpack(data, position, 1)
    if count > direction_count:
        raise CodecError(f"{count} coefficients of {direction_count} directions")
    pairs, position = varints.unpack(data, position, 2 * int(count))
    indices = np.cumsum(pairs[0::2] + 1) - 1
    if count and int(indices[-1]) >= direction_count:
        raise CodecError(f"direction {indices[-1]} of {direction_count}")
    coefficients = np.zeros(direction_count, dtype=np.int64)
    coefficients[indices] = varints.unzigzag(pairs[1::2])
    return coefficients, position
