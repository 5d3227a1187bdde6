"""Logs of authors that every peer keeps alike.

The replicated side of all ledgers: what is in a log and what follows from it is theirs.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from copy import copy
from dataclasses import replace
from itertools import groupby, islice
from types import MappingProxyType
from typing import Generic, Protocol, Self, TypeVar

import torch
from blake3 import blake3
from torch import Tensor

from p2pfed.errors import CodecError, LocalError
from p2pfed.identity import PeerId
from p2pfed.limits import LIVES_PER_AUTHOR_MAX
from p2pfed.updates import saved_logs
from p2pfed.updates.log import DIGEST_BYTES, Log, Operation, Receipt, Snapshot, Writer


class Terms(Protocol):
    """What peers agree on about a ledger; a frozen dataclass."""

    @property
    def size(self) -> int:
        """The length d of the vectors of the run."""


TermsT = TypeVar("TermsT", bound=Terms)
LogT = TypeVar("LogT", bound=Log)  # type: ignore[type-arg]  # of any operation
OperationT = TypeVar("OperationT", bound=Operation)


class AuthorLogs(ABC, Generic[TermsT, LogT, OperationT]):
    """A replicated set of logs, one of each writer.

    One implementation is one kind of ledger: what an operation says, what it adds to the log of
    its author, and which model follows from all logs.

    Two sets that hold the same logs, in whatever order they came and however often, are equal: logs
    of different writers do not touch each other, and operations of one apply in sequence or not at
    all. (A join-semilattice: the longest log of each writer.) An author who signed two logs is
    left out of it, with all that it wrote, by `without`.

    Source: Shapiro et al. 2011, "Conflict-free replicated data types", sec. 3.

    Args:
        terms: Of the run.
        empty: The log before the first operation.
    """

    def __init__(self, terms: TermsT, empty: LogT) -> None:
        self.terms = terms
        self._empty = empty
        self._logs: dict[Writer, LogT] = {}

    # What is known -------------------------------------------------------------------------

    def version_vector(self) -> dict[Writer, int]:
        """Return the last sequence of every writer that has one, in ascending order."""
        return {writer: self._logs[writer].sequence for writer in sorted(self._logs)}

    @property
    def logs(self) -> Mapping[Writer, LogT]:
        """The logs of all writers that have one."""
        return MappingProxyType(self._logs)

    def log(self, writer: Writer) -> LogT:
        """Return the log of a writer; an empty one if there is none."""
        return self._logs.get(writer) or self._empty

    def counting(self) -> Iterator[list[LogT]]:
        """Return the logs that make the model, of one author after the other.

        An author's lives are in the order of their numbers, and no more than may count.
        """
        for _, lives in groupby(sorted(self._logs), key=lambda writer: writer.author):
            yield [self._logs[writer] for writer in islice(lives, LIVES_PER_AUTHOR_MAX)]

    def other_lives(self, writer: Writer) -> list[LogT]:
        """Return the logs of a writer's other lives, with which it shares its budget."""
        others = [it for it in sorted(self._logs) if it.author == writer.author and it != writer]
        return [self._logs[it] for it in others[:LIVES_PER_AUTHOR_MAX]]

    def sequence(self, writer: Writer) -> int:
        """Return the last sequence of a writer, 0 for none."""
        return self.log(writer).sequence

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the whole state: equal ledgers have equal ones."""
        state = blake3()
        state.update(len(self._logs).to_bytes(8, "little"))
        for writer in sorted(self._logs):
            log = self._logs[writer]
            numbers = (len(writer.author), writer.incarnation, log.sequence)
            state.update(b"".join(number.to_bytes(8, "little") for number in numbers))
            state.update(writer.author + log.digest())
        state.update(bytes(8))  # the format has room for a second table, which is empty
        return state.digest()

    # What happens --------------------------------------------------------------------------

    def apply(self, writer: Writer, sequence: int, operation: OperationT) -> Receipt:
        """Take in an operation of a verified update.

        Args:
            writer: Who signed it.
            sequence: Its place in the log, from 1.
            operation: As `operation.decode` gave it.

        Raises:
            LimitExceeded: If the author moves more than its budget allows. It gets no further at
                any peer: all refuse the same operation.
            CodecError: If the operation does not lead to the log that it names.
        """
        log = self.log(writer)
        if sequence <= log.sequence:
            return Receipt.DUPLICATE
        if sequence > log.sequence + 1:
            return Receipt.GAP
        after = log.append(operation)
        if after.digest() != operation.digest:
            raise CodecError(f"operation {sequence} does not lead to the log that it names")
        self._logs[writer] = after
        return Receipt.APPLIED

    def adopt(
        self, writer: Writer, sequence: int, snapshot: bytes | memoryview, digest: bytes
    ) -> Receipt:
        """Catch up with a writer by its sums, whoever sent them.

        Args:
            writer: Whose.
            sequence: Of the operation after which they were taken.
            snapshot: Any bytes.
            digest: Which that operation, verified to be the writer's, names.

        Raises:
            CodecError: If they are not these sums.
            LimitExceeded: If they are beyond a limit that binds the writer.
        """
        if sequence <= self.sequence(writer):
            return Receipt.DUPLICATE
        self._logs[writer] = self._restore(sequence, snapshot, digest)
        return Receipt.APPLIED

    def confirm(self, writer: Writer, sequence: int, digest: bytes) -> Receipt:
        """Take in an entry of a writer that adds nothing and says what its log holds.

        Raises:
            CodecError: If the log holds something else: else who lies about what it wrote before
                would have one model at those who saw that, and another at those who come later.
        """
        log = self.log(writer)
        if sequence <= log.sequence:
            return Receipt.DUPLICATE
        if sequence > log.sequence + 1:
            return Receipt.GAP
        if digest != log.digest():
            raise CodecError(f"snapshot {sequence} is not that of its author's log")
        self._logs[writer] = replace(log, sequence=sequence)  # type: ignore[type-var]
        return Receipt.APPLIED

    def keep_lives(self, last: Mapping[PeerId, int] | None = None) -> None:
        """Forget logs of authors that have more lives than count: those with the lowest numbers.

        Args:
            last: Of some authors the last life that counts, where more is known than stands here.
        """
        kept: dict[PeerId, int] = {}
        for writer in sorted(self._logs):
            count = kept[writer.author] = kept.get(writer.author, 0) + 1
            is_late = last is not None and writer.incarnation > last.get(writer.author, 2**64)
            if is_late or count > LIVES_PER_AUTHOR_MAX:
                del self._logs[writer]

    def without(self, authors: Collection[PeerId]) -> Self:
        """Return a copy without all that some authors wrote."""
        other = copy(self)
        other._logs = {it: log for it, log in self._logs.items() if it.author not in authors}
        return other

    # Bytes ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def operation_bytes_max(self) -> int:
        """The most bytes that an operation can have."""

    @property
    @abstractmethod
    def snapshot_bytes_max(self) -> int:
        """The most bytes that a snapshot can have, its digest included."""

    @abstractmethod
    def encode(self, operation: OperationT) -> bytes:
        """Return the bytes of an operation."""

    @abstractmethod
    def decode(self, data: bytes | memoryview) -> OperationT:
        """Read an operation of another peer, without regard to what is in the ledger.

        Args:
            data: Any bytes.

        Raises:
            CodecError: If they are not the encoding of an operation within the terms.
            LimitExceeded: If it alone is beyond a limit.
        """

    def decode_snapshot(self, data: bytes | memoryview, *, check: bool = True) -> Snapshot:
        """Read a snapshot of another peer, without regard to what is in the ledger.

        Args:
            data: Any bytes.
            check: Whether to look into its sums, which takes long, and which `adopt` does again.

        Raises:
            CodecError: If they are not the encoding of a snapshot within the terms.
            LimitExceeded: If its sums are beyond a limit that binds its author.
        """
        if len(data) > self.snapshot_bytes_max:
            most = self.snapshot_bytes_max
            raise CodecError(f"a snapshot of {len(data)} bytes, at most {most}")
        digest, sums = bytes(data[:DIGEST_BYTES]), bytes(data[DIGEST_BYTES:])
        if check:
            self._restore(1, sums, digest)
        return Snapshot(digest=digest, sums=sums)

    # The model -----------------------------------------------------------------------------

    @abstractmethod
    def materialize(self, start: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Compute the model: the same bits wherever the ledger is the same.

        Args:
            start: The run's initial vector, shape (d,), float32, any device with float64.
            out: Where to put the model, like `start`, which it may be itself.

        Raises:
            LocalError: If `start` is not such a vector.
        """

    # Saving --------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return all logs, as tensors by name."""
        return saved_logs.save(self._logs)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of other terms.
        """
        self._logs = saved_logs.load(state, self._restore)

    # Inside --------------------------------------------------------------------------------

    def _restore(self, sequence: int, sums: bytes | memoryview, digest: bytes) -> LogT:
        """Read a snapshot, which may be any bytes, and which its author signed by its digest.

        Raises:
            CodecError: If they are not the sums with that digest.
            LimitExceeded: If they are beyond a limit that binds the writer.
        """
        log = self._read_log(sequence, sums)
        if log.digest() != digest:
            raise CodecError("a snapshot that is not what its author signed")
        return log

    @abstractmethod
    def _read_log(self, sequence: int, sums: bytes | memoryview) -> LogT:
        """Read what `Log.snapshot` returns, from any bytes.

        Args:
            sequence: Of the operation after which it was made.
            sums: Any bytes, from anybody.

        Raises:
            CodecError: If they are not the snapshot of a log within the terms.
            LimitExceeded: If they are beyond a limit that binds the writer.
        """

    def _check_start(self, start: Tensor) -> None:
        if tuple(start.shape) != (self.terms.size,) or start.dtype != torch.float32:
            raise LocalError(
                f"start of shape {tuple(start.shape)} and {start.dtype}, expected "
                f"({self.terms.size},) and torch.float32"
            )

    def _check(self, other: Self) -> None:
        if other.terms != self.terms:
            raise LocalError("two ledgers of different terms have nothing in common")
