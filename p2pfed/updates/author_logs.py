"""Logs of authors that every peer keeps alike, and the points at which liars are frozen.

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
    """A replicated set of logs, one of each writer, and of the points at which liars are frozen.

    One implementation is one kind of ledger: what an operation says, what it adds to the log of
    its author, and which model follows from all logs.

    Two sets that were told the same, in any order and however often, are equal: logs of
    different writers do not touch each other, operations of one apply in sequence or not at all,
    and the lowest freezing point of a writer counts. (A join-semilattice: the longest log up to
    the lowest freezing point.)

    Source: Shapiro et al. 2011, "Conflict-free replicated data types", sec. 3.

    Args:
        terms: Of the run.
        empty: The log before the first operation.
    """

    def __init__(self, terms: TermsT, empty: LogT) -> None:
        self.terms = terms
        self._empty = empty
        self._logs: dict[Writer, LogT] = {}
        self._frozen: dict[Writer, int] = {}

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

    @property
    def frozen(self) -> Mapping[Writer, int]:
        """Writers that are frozen, and the last sequence of each that counts."""
        return MappingProxyType(self._frozen)

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

    def snapshot(self, writer: Writer, sequence: int) -> bytes | None:
        """Return a writer's sums after an operation for a newcomer; None if not known any more."""
        log = self.log(writer)
        earlier = log.rolled_back(sequence) if 1 <= sequence <= log.sequence else None
        return None if earlier is None else earlier.snapshot()

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the whole state: equal ledgers have equal ones."""
        state = blake3()
        for table in (
            {writer: (log.sequence, log.digest()) for writer, log in self._logs.items()},
            {writer: (last, b"") for writer, last in self._frozen.items()},
        ):
            state.update(len(table).to_bytes(8, "little"))
            for writer in sorted(table):
                sequence, digest = table[writer]
                numbers = (len(writer.author), writer.incarnation, sequence)
                state.update(b"".join(number.to_bytes(8, "little") for number in numbers))
                state.update(writer.author + digest)
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
            CodecError: If the operation does not lead to the sums that it names.
        """
        log = self.log(writer)
        if sequence <= log.sequence:
            return Receipt.DUPLICATE
        if sequence > self._frozen.get(writer, sequence):
            return Receipt.FROZEN
        if sequence > log.sequence + 1:
            return Receipt.GAP
        self._logs[writer] = log.append(operation)
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
        if sequence > self._frozen.get(writer, sequence):
            return Receipt.FROZEN
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
        if sequence > self._frozen.get(writer, sequence):
            return Receipt.FROZEN
        if sequence > log.sequence + 1:
            return Receipt.GAP
        if digest != log.digest():
            raise CodecError(f"snapshot {sequence} is not that of its author's log")
        self._logs[writer] = replace(log, sequence=sequence, history=())  # type: ignore[type-var]
        return Receipt.APPLIED

    def freeze(self, writer: Writer, last_sequence: int) -> None:
        """Let nothing of a writer count that comes after an operation.

        Where the log goes further and that operation is forgotten, all of it goes: then some
        other peer's snapshot must bring it back.

        Args:
            writer: Who signed two updates with one sequence.
            last_sequence: The one before, from 0.
        """
        last = min(last_sequence, self._frozen.get(writer, last_sequence))
        self._frozen[writer] = last
        log = self.log(writer)
        if log.sequence > last:
            earlier = log.rolled_back(last)
            self._put(writer, self._empty if earlier is None else earlier)

    def join(self, other: Self) -> None:
        """Take in all that another ledger of this program knows.

        Raises:
            LocalError: If it has other terms.
        """
        self._check(other)
        for writer, last in other._frozen.items():
            self.freeze(writer, last)
        for writer, theirs in other._logs.items():
            last = self._frozen.get(writer, theirs.sequence)
            usable = theirs if theirs.sequence <= last else theirs.rolled_back(last)
            if usable is not None and usable.sequence > self.sequence(writer):
                self._put(writer, usable)
        self.keep_lives()

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
        """Return a copy without all that some authors wrote; freezing points stay."""
        other = copy(self)
        other._logs = {it: log for it, log in self._logs.items() if it.author not in authors}
        other._frozen = dict(self._frozen)
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

    def decode_snapshot(self, data: bytes | memoryview) -> Snapshot:
        """Read a snapshot of another peer, without regard to what is in the ledger.

        Args:
            data: Any bytes.

        Raises:
            CodecError: If they are not the encoding of a snapshot within the terms.
            LimitExceeded: If its sums are beyond a limit that binds its author.
        """
        if len(data) > self.snapshot_bytes_max:
            most = self.snapshot_bytes_max
            raise CodecError(f"a snapshot of {len(data)} bytes, at most {most}")
        digest, sums = bytes(data[:DIGEST_BYTES]), bytes(data[DIGEST_BYTES:])
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
        """Return all logs and freezing points, as tensors by name."""
        return saved_logs.save(self._logs, self._frozen)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of other terms.
        """
        self._logs, self._frozen = saved_logs.load(state, self._restore_with_history)

    # Inside --------------------------------------------------------------------------------

    @abstractmethod
    def _restore(self, sequence: int, sums: bytes | memoryview, digest: bytes) -> LogT:
        """Read a snapshot, which may be any bytes.

        Raises:
            CodecError: If they are not the sums with that digest.
            LimitExceeded: If they are beyond a limit that binds the writer.
        """

    def _check_history(self, data: bytes) -> None:
        """Refuse bytes that take no operation of these terms back.

        Raises:
            RemoteError: If they do not.
        """
        self.decode(data)

    def _restore_with_history(
        self, sequence: int, snapshot: Snapshot, history: tuple[bytes, ...]
    ) -> LogT:
        for data in history:
            self._check_history(data)
        log = self._restore(sequence, snapshot.sums, snapshot.digest)
        return replace(log, history=history)  # type: ignore[type-var]  # a dataclass

    def _check_start(self, start: Tensor) -> None:
        if tuple(start.shape) != (self.terms.size,) or start.dtype != torch.float32:
            raise LocalError(
                f"start of shape {tuple(start.shape)} and {start.dtype}, expected "
                f"({self.terms.size},) and torch.float32"
            )

    def _put(self, writer: Writer, log: LogT) -> None:
        if log.sequence:
            self._logs[writer] = log
        else:
            self._logs.pop(writer, None)

    def _check(self, other: Self) -> None:
        if other.terms != self.terms:
            raise LocalError("two ledgers of different terms have nothing in common")
