"""What one update of an adapter set carries, and its bytes.

Layout: the digest of the author's log after this operation (32 bytes), the length of a compaction
as a varint, 0 for none, the compaction, and then the increment. Author, sequence and signature are
those of the update around it.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from p2pfed.errors import CodecError
from p2pfed.updates.adapter_set import increment as increments
from p2pfed.updates.adapter_set.increment import Increment
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import DIGEST_BYTES
from p2pfed.updates.seed_ledger import varints


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One entry of an author's log.

    Attributes:
        increment: What it adds; an empty one adds nothing.
        compaction: What replaces all that the author added before; None where nothing does.
        digest: What `AuthorLog.digest` is after it.
    """

    increment: Increment
    compaction: Increment | None
    digest: bytes


def encode(operation: Operation) -> bytes:
    """Return the bytes of an operation."""
    compaction = b"" if operation.compaction is None else operation.compaction.data
    head = varints.pack(np.array([len(compaction)]))
    return operation.digest + head + compaction + operation.increment.data


def decode(data: bytes | memoryview, terms: Terms) -> Operation:
    """Read an operation of another peer.

    Args:
        data: Any bytes.
        terms: Of the run.

    Raises:
        CodecError: If they are not an operation within the terms.
        LimitExceeded: If one of its increments is beyond a limit.
    """
    if len(data) > bytes_max(terms):
        raise CodecError(f"an operation of {len(data)} bytes, at most {bytes_max(terms)}")
    (length,), start = varints.unpack(data, DIGEST_BYTES, 1)
    border = start + int(length)
    if border > len(data):
        raise CodecError("an operation that ends early")
    return Operation(
        increment=increments.decode(data[border:], terms),
        compaction=increments.decode(data[start:border], terms) if length else None,
        digest=bytes(data[:DIGEST_BYTES]),
    )


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that an operation can have."""
    return DIGEST_BYTES + varints.BYTES_MAX + 2 * increments.bytes_max(terms)
