"""The SeedLedger: logs of integers from which everyone computes the same model, to the last bit."""

import math
from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LimitExceeded, LocalError
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.log import Writer
from p2pfed.updates.seed_ledger import author_log, weights
from p2pfed.updates.seed_ledger import operation as operations
from p2pfed.updates.seed_ledger.author_log import AuthorLog, clip
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import STEPS_MAX, Terms
from p2pfed.updates.seed_ledger.varints import Integers


@final
class SeedLedger(AuthorLogs[Terms, AuthorLog, Operation]):
    """Logs of integers, and the model that follows from them.

    Source: Qin et al. 2024, "Federated full-parameter tuning of billion-sized language models with
        communication cost under 18 kilobytes" (FedKSeed, arXiv 2312.06353), for a model made of K
        seeds.
    Differs: FedKSeed's server sums floats and replays Gaussian directions.

    Args:
        terms: Of the run.
    """

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms, AuthorLog(terms=terms))

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

    def coefficients(self) -> dict[int, Integers]:
        """Return the sums of all authors by epoch, in ascending order, each of shape (K,), int64.

        The budget binds an author in all its incarnations together. Which of their operations
        came first nobody can say, so all count, and where they are longer together than the budget
        of an epoch, their sum is shortened to it: no life takes another's place.
        """
        totals: dict[int, Integers] = {}
        for lives in self.counting():
            own: dict[int, Integers] = {}
            for log in lives:
                _add(own, log.sums)
            _add(totals, {epoch: clip(sums, self.terms) for epoch, sums in own.items()})
        return {epoch: totals[epoch] for epoch in sorted(totals)}

    @override
    def materialize(self, start: Tensor, *, out: Tensor | None = None) -> Tensor:
        self._check_start(start)
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

    @property
    @override
    def operation_bytes_max(self) -> int:
        return operations.bytes_max(self.terms)

    @property
    @override
    def snapshot_bytes_max(self) -> int:
        return author_log.bytes_max(self.terms)

    @override
    def encode(self, operation: Operation) -> bytes:
        return operations.encode(operation)

    @override
    def decode(self, data: bytes | memoryview) -> Operation:
        return operations.decode(data, self.terms)

    @override
    def _read_log(self, sequence: int, sums: bytes | memoryview) -> AuthorLog:
        return AuthorLog.restore(self.terms, sequence, sums)


def _add(totals: dict[int, Integers], sums: Mapping[int, Integers]) -> None:
    for epoch, each in sums.items():
        totals[epoch] = totals[epoch] + each if epoch in totals else each.copy()
