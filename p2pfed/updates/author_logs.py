"""Logs of authors that every peer keeps alike, and the points at which liars are frozen.

The replicated side of all ledgers: what is in a log and what follows from it is theirs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from blake3 import blake3
from torch import Tensor

from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES
from p2pfed.updates.saved_bytes import from_bytes, to_bytes

HISTORY_COUNT: Final = 64  # as many as one request for a range of updates asks for
DIGEST_BYTES: Final = 32

_FROZEN: Final = "frozen/"
_LOG: Final = "log/"
_OPERATION: Final = "/operation/"
_SUMS: Final = "/sums"
_PLACE: Final = "/place"


class Writer(NamedTuple):
    """Whose log: an author in one of its incarnations."""

    author: PeerId
    incarnation: int


class Receipt(StrEnum):
    """What became of an operation or a snapshot."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"  # fetch what is missing before it, or a snapshot
    FROZEN = "frozen"  # it comes after the author's proven lie


OperationT = TypeVar("OperationT")
OperationIn = TypeVar("OperationIn", contravariant=True)


class Log(Protocol[OperationIn]):
    """What one author has added up; a frozen dataclass."""

    @property
    def sequence(self) -> int:
        """Of its last operation; 0 before the first."""

    @property
    def history(self) -> tuple[bytes, ...]:
        """The bytes of its last operations, the newest last."""

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of its sums."""

    def append(self, operation: OperationIn) -> Self:
        """Return the log with the next operation.

        Raises:
            RemoteError: If that is not what its author may add.
        """

    def rolled_back(self, sequence: int) -> Self | None:
        """Return the log as it was after an earlier operation, or None if that is forgotten."""

    def snapshot(self) -> bytes:
        """Return the sums as bytes for a newcomer."""


TermsT = TypeVar("TermsT")
LogT = TypeVar("LogT", bound=Log)  # type: ignore[type-arg]  # of any operation


class AuthorLogs(ABC, Generic[TermsT, LogT, OperationT]):
    """A replicated set of logs, one of each writer, and of the points at which liars are frozen.

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

    # Saving --------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return all logs and freezing points, as tensors by name."""
        state = {}
        for writer, last in self._frozen.items():
            state[_FROZEN + _name(writer)] = torch.tensor([last])
        for writer, log in self._logs.items():
            name = _LOG + _name(writer)
            state[name + _PLACE] = torch.tensor([log.sequence])
            state[name + _SUMS] = from_bytes(log.digest() + log.snapshot())
            for place, data in enumerate(log.history):
                state[f"{name}{_OPERATION}{place}"] = from_bytes(data)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of other terms.
        """
        frozen, logs = {}, {}
        try:
            for name, tensor in state.items():
                if name.startswith(_FROZEN):
                    frozen[_writer(name.removeprefix(_FROZEN))] = int(tensor.item())
                elif name.startswith(_LOG) and name.endswith(_PLACE):
                    log = name.removesuffix(_PLACE)
                    logs[_writer(log.removeprefix(_LOG))] = self._read(log, state)
        except (RemoteError, KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = (
                f"the saved state holds no logs of these terms, or they cannot be read: {error}"
            )
            raise LocalError(reason) from error
        self._frozen, self._logs = frozen, logs

    def _read(self, name: str, state: Mapping[str, Tensor]) -> LogT:
        sums = to_bytes(state[name + _SUMS])
        sequence = int(state[name + _PLACE].item())
        log = self._restore(sequence, sums[DIGEST_BYTES:], sums[:DIGEST_BYTES])
        names = [f"{name}{_OPERATION}{place}" for place in range(HISTORY_COUNT)]
        history = tuple(to_bytes(state[each]) for each in names if each in state)
        for data in history:
            self._check_operation(data)
        return replace(log, history=history)  # type: ignore[type-var]  # a dataclass

    # Inside --------------------------------------------------------------------------------

    @abstractmethod
    def _restore(self, sequence: int, snapshot: bytes | memoryview, digest: bytes) -> LogT:
        """Read a snapshot, which may be any bytes.

        Raises:
            CodecError: If they are not the sums with that digest.
            LimitExceeded: If they are beyond a limit that binds the writer.
        """

    @abstractmethod
    def _check_operation(self, data: bytes) -> None:
        """Refuse bytes that are no operation within the terms.

        Raises:
            CodecError: If they are not.
        """

    def _put(self, writer: Writer, log: LogT) -> None:
        if log.sequence:
            self._logs[writer] = log
        else:
            self._logs.pop(writer, None)

    def _check(self, other: Self) -> None:
        if other.terms != self.terms:
            raise LocalError("two ledgers of different terms have nothing in common")


def _name(writer: Writer) -> str:
    return f"{writer.author.hex()}.{writer.incarnation}"


def _writer(name: str) -> Writer:
    author, _, incarnation = name.partition(".")
    if len(author) != 2 * PUBLIC_KEY_BYTES:
        raise ValueError(f"{name} names no writer")
    return Writer(PeerId(bytes.fromhex(author)), int(incarnation))
