"""What one update of a SeedLedger carries in place of an operation: its author's sums after it.

Layout of the bytes: the digest as of an operation, 32 bytes, and then `AuthorLog.snapshot`.
"""

from dataclasses import dataclass
from typing import final

from p2pfed.errors import CodecError
from p2pfed.updates.author_logs import DIGEST_BYTES
from p2pfed.updates.seed_ledger.author_log import AuthorLog
from p2pfed.updates.seed_ledger.terms import Terms


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An entry of an author's log that stands alone: it says all that was added up so far.

    Attributes:
        digest: `AuthorLog.digest` of the sums.
        sums: `AuthorLog.snapshot`, for `SeedLedger.adopt`.
    """

    digest: bytes
    sums: bytes

    @classmethod
    def of(cls, log: AuthorLog) -> "Snapshot":
        """Take the snapshot of a log."""
        return cls(digest=log.digest(), sums=log.snapshot())


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot."""
    return snapshot.digest + snapshot.sums


def decode(data: bytes | memoryview, terms: Terms) -> Snapshot:
    """Read a snapshot of another peer.

    Args:
        data: Any bytes.
        terms: Of the run.

    Raises:
        CodecError: If they are not the encoding of a snapshot within the terms.
        LimitExceeded: If its author moved more in an epoch than its budget allows.
    """
    if len(data) > bytes_max(terms):
        raise CodecError(f"a snapshot of {len(data)} bytes, at most {bytes_max(terms)}")
    digest, sums = bytes(data[:DIGEST_BYTES]), bytes(data[DIGEST_BYTES:])
    AuthorLog.restore(terms, 1, sums, digest)
    return Snapshot(digest=digest, sums=sums)


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that a snapshot can have."""
    # No sum is longer than the budget, and zigzagged it is twice as large.
    count, epoch, each = (
        -(-most.bit_length() // 7)
        for most in (terms.epoch_count, max(terms.epoch_count - 1, 1), 2 * terms.budget)
    )
    return DIGEST_BYTES + count + terms.epoch_count * (epoch + terms.direction_count * each)
