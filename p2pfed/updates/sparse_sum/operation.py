"""What one update of a sparse sum carries, and its bytes.

Layout: the digest of the author's sums after this operation (32 bytes), then the encoding of the
codec `sparse`. Author, sequence and signature are those of the update around it.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from p2pfed.errors import CodecError, LimitExceeded
from p2pfed.updates.log import DIGEST_BYTES
from p2pfed.updates.sparse_sum.terms import Integers, Terms


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One entry of an author's log.

    Attributes:
        data: The vector as its codec encoded it.
        places: Of its values that are not 0, ascending, shape (k,), int64.
        amounts: These values in units, shape (k,), int64.
        digest: What `AuthorLog.digest` is after it.
    """

    data: bytes
    places: Integers
    amounts: Integers
    digest: bytes


def encode(operation: Operation) -> bytes:
    """Return the bytes of an operation."""
    return operation.digest + operation.data


def decode(data: bytes | memoryview, terms: Terms) -> Operation:
    """Read an operation of another peer.

    Args:
        data: Any bytes.
        terms: Of the run.

    Raises:
        CodecError: If they are not an operation within the terms.
        LimitExceeded: If its vector is longer than they allow.
    """
    if len(data) > bytes_max(terms):
        raise CodecError(f"an operation of {len(data)} bytes, at most {bytes_max(terms)}")
    digest, vector = bytes(data[:DIGEST_BYTES]), bytes(data[DIGEST_BYTES:])
    if len(digest) < DIGEST_BYTES:
        raise CodecError(f"an operation of {len(data)} bytes, its digest alone is {DIGEST_BYTES}")
    places, amounts = read_vector(vector, terms)
    return Operation(data=vector, places=places, amounts=amounts, digest=digest)


def read_vector(data: bytes, terms: Terms) -> tuple[Integers, Integers]:
    """Return the places of a vector's values that are not 0, and these in units.

    Raises:
        CodecError: If the bytes are no encoding of the codec.
        LimitExceeded: If the vector is longer than the terms allow.
    """
    values = terms.codec.decode(data, terms.size)
    places = torch.nonzero(values)[:, 0]
    # Exact: values are float16 times 2^exponent, and multiples of the unit.
    amounts = (values[places].double() / terms.unit).numpy()
    # The same verdict on every machine: squares of float16 are exact, and their sum rounded once.
    norm = math.sqrt(math.fsum(np.square(amounts).tolist())) * terms.unit
    if norm > terms.norm_max:
        raise LimitExceeded(f"an update of length {norm:g}, at most {terms.norm_max:g}")
    return places.numpy(), amounts.astype(np.int64)


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that an operation can have."""
    return DIGEST_BYTES + terms.codec.encoded_bytes_max(terms.size)
