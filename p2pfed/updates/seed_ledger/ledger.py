"""The SeedLedger: logs of integers from which everyone computes the same model, to the last bit."""

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, final

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor

from p2pfed.errors import LimitExceeded, LocalError
from p2pfed.identity import PeerId
from p2pfed.updates.seed_ledger import weights
from p2pfed.updates.seed_ledger.author_log import AuthorLog, is_within_budget
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import STEPS_MAX, Terms
from p2pfed.updates.seed_ledger.varints import Integers


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


@final
class SeedLedger:
    """A replicated set of logs, one of each writer, and of the points at which liars are frozen.

    Two ledgers that were told the same, in any order and however often, are equal: logs of
    different writers do not touch each other, operations of one apply in sequence or not at all,
    and the lowest freezing point of a writer counts. (A join-semilattice: the longest log up to
    the lowest freezing point.)

    Source: Shapiro et al. 2011, "Conflict-free replicated data types", sec. 3, for what makes such
        states converge; Qin et al. 2024 (FedKSeed, arXiv 2312.06353), for a model made of K seeds.
    Differs: FedKSeed's server sums floats and replays Gaussian directions.

    Args:
        terms: Of the run.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._logs: dict[Writer, AuthorLog] = {}
        self._frozen: dict[Writer, int] = {}

    @classmethod
    def of(
        cls, terms: Terms, logs: Mapping[Writer, AuthorLog], frozen: Mapping[Writer, int]
    ) -> "SeedLedger":
        """Make a ledger of what another one had; logs are values and can be shared.

        Args:
            terms: Of the run, and of all logs.
            logs: As of `logs`.
            frozen: As of `frozen`.
        """
        ledger = cls(terms)
        ledger._logs, ledger._frozen = dict(logs), dict(frozen)
        return ledger

    # What is known -------------------------------------------------------------------------

    def version_vector(self) -> dict[Writer, int]:
        """Return the last sequence of every writer that has one, in ascending order."""
        return {writer: self._logs[writer].sequence for writer in sorted(self._logs)}

    @property
    def logs(self) -> Mapping[Writer, AuthorLog]:
        """The logs of all writers that have one."""
        return MappingProxyType(self._logs)

    @property
    def frozen(self) -> Mapping[Writer, int]:
        """Writers that are frozen, and the last sequence of each that counts."""
        return MappingProxyType(self._frozen)

    def log(self, writer: Writer) -> AuthorLog:
        """Return the log of a writer; an empty one if there is none."""
        return self._logs.get(writer) or AuthorLog(terms=self.terms)

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

    def next_operation(
        self, writer: Writer, epoch: int, step_count: int, coefficients: Integers
    ) -> Operation:
        """Make a writer's next operation, to be signed, published and then applied.

        Args:
            writer: This peer.
            epoch: Whose directions.
            step_count: Local steps that it stands for, at least 1.
            coefficients: Shape (K,), integers.

        Raises:
            LocalError: If they are not within the terms, or beyond what is left of a limit.
        """
        values = np.array(coefficients, dtype=np.int64)  # a copy: the caller may go on with its own
        if not (0 <= epoch < self.terms.epoch_count and 1 <= step_count <= STEPS_MAX):
            raise LocalError(
                f"{step_count} steps in epoch {epoch}: write 1 to {STEPS_MAX} steps, and an epoch "
                f"of 0 to {self.terms.epoch_count - 1}"
            )
        if values.shape != (self.terms.direction_count,):
            raise LocalError(
                f"coefficients of shape {values.shape}, expected ({self.terms.direction_count},)"
            )
        if int(np.abs(values).max()) > self.terms.coefficient_max:
            raise LocalError(f"clip coefficients to {self.terms.coefficient_max}")
        try:
            digest = self.log(writer).then(epoch, values).digest()
        except LimitExceeded as error:
            raise LocalError(f"{error}: go to another epoch, or take smaller steps") from error
        return Operation(epoch=epoch, step_count=step_count, coefficients=values, digest=digest)

    def apply(self, writer: Writer, sequence: int, operation: Operation) -> Receipt:
        """Take in an operation of a verified update.

        Args:
            writer: Who signed it.
            sequence: Its place in the log, from 1.
            operation: As `operation.decode` gave it.

        Raises:
            LimitExceeded: If the author moves more in an epoch than its budget allows. It gets no
                further at any peer: all refuse the same operation.
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
        self._logs[writer] = AuthorLog.restore(self.terms, sequence, snapshot, digest)
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
            self._put(writer, AuthorLog(terms=self.terms) if earlier is None else earlier)

    def join(self, other: "SeedLedger") -> None:
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

    # What follows from it ------------------------------------------------------------------

    def coefficients(self) -> dict[int, Integers]:
        """Return the sums of all authors by epoch, in ascending order, each of shape (K,), int64.

        The budget binds an author in all its incarnations together. Which of their operations
        came first nobody can say, so they count in the order of their numbers, and one that would
        exceed the budget of an epoch is left out there.
        """
        totals: dict[int, Integers] = {}
        own: dict[int, Integers] = {}
        author: PeerId | None = None
        for writer in sorted(self._logs):
            if writer.author != author:
                _add(totals, own)
                author, own = writer.author, {}
            for epoch, sums in self._logs[writer].sums.items():
                together = own[epoch] + sums if epoch in own else sums
                if is_within_budget(together, self.terms):
                    own[epoch] = together
        _add(totals, own)
        return {epoch: totals[epoch] for epoch in sorted(totals)}

    def materialize(self, start: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Compute the model: the same bits wherever the ledger is the same.

        Args:
            start: The run's initial vector, shape (d,), float32, any device.
            out: Where to put it, as in `weights.materialize`.

        Raises:
            LocalError: If `start` is not such a vector.
        """
        if tuple(start.shape) != (self.terms.size,) or start.dtype != torch.float32:
            raise LocalError(
                f"start of shape {tuple(start.shape)} and {start.dtype}, expected "
                f"({self.terms.size},) and torch.float32"
            )
        layers = [
            (self.terms.basis(epoch), torch.from_numpy(sums))
            for epoch, sums in self.coefficients().items()
        ]
        return weights.materialize(start, layers, self.terms.fraction_bits, out=out)

    def distance(self, other: "SeedLedger") -> float:
        """Return how far apart two models are, without making one of them.

        Within one epoch this is the Euclidean norm of their difference, up to the rounding of
        weights and what directions lose where the last block is cut off. Directions of different
        epochs are only nearly orthogonal: over several it is the sum of each one's, and so an upper
        bound.

        Raises:
            LocalError: If the other ledger has other terms.
        """
        self._check(other)
        mine, theirs = self.coefficients(), other.coefficients()
        zero = np.zeros(self.terms.direction_count, dtype=np.int64)
        lengths = [
            float(np.linalg.norm((mine.get(epoch, zero) - theirs.get(epoch, zero)).astype(float)))
            for epoch in sorted(mine.keys() | theirs.keys())
        ]
        unit = math.sqrt(self.terms.basis(0).padded_size) * 2.0**-self.terms.fraction_bits
        return unit * math.fsum(lengths)

    # Inside --------------------------------------------------------------------------------

    def _put(self, writer: Writer, log: AuthorLog) -> None:
        if log.sequence:
            self._logs[writer] = log
        else:
            self._logs.pop(writer, None)

    def _check(self, other: "SeedLedger") -> None:
        if other.terms != self.terms:
            raise LocalError("two ledgers of different terms have nothing in common")


def _add(totals: dict[int, Integers], sums: Mapping[int, Integers]) -> None:
    for epoch, each in sums.items():
        totals[epoch] = totals[epoch] + each if epoch in totals else each.copy()
