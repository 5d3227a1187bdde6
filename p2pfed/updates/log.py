"""One author's log as every ledger has it: who writes, what stands in it, what stands for it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, Self, TypeVar, final

from p2pfed.identity import PeerId

DIGEST_BYTES: Final = 32


class Writer(NamedTuple):
    """Whose log: an author in one of its incarnations."""

    author: PeerId
    incarnation: int


class Receipt(StrEnum):
    """What became of an operation or a snapshot."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"  # fetch what is missing before it, or a snapshot


class Operation(Protocol):
    """One entry of a log, which continues it; a frozen dataclass."""

    @property
    def digest(self) -> bytes:
        """What `Log.digest` is after it, 32 bytes."""


OperationIn = TypeVar("OperationIn", contravariant=True)


class Log(Protocol[OperationIn]):
    """What one author has added up; a frozen dataclass."""

    @property
    def sequence(self) -> int:
        """Of its last operation; 0 before the first."""

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of its sums."""

    def append(self, operation: OperationIn) -> Self:
        """Return the log with the next operation, whatever digest that names.

        Raises:
            RemoteError: If that is not what its author may add.
        """

    def snapshot(self) -> bytes:
        """Return the sums as bytes for a newcomer."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An entry of an author's log that stands alone: it says all that was added up so far.

    Attributes:
        digest: `Log.digest` of the sums.
        sums: `Log.snapshot`, for `AuthorLogs.adopt`.
    """

    digest: bytes
    sums: bytes

    @classmethod
    def of(cls, log: Log) -> "Snapshot":  # type: ignore[type-arg]  # of any operation
        """Take the snapshot of a log."""
        return cls(digest=log.digest(), sums=log.snapshot())

    def to_bytes(self) -> bytes:
        """Return its bytes: the digest, and then the sums."""
        return self.digest + self.sums
