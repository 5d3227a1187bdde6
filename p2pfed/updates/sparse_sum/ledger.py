"""The sparse sum: logs of sparse updates from which everyone computes the same model."""

from typing import Final, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, LimitExceeded, LocalError
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.log import DIGEST_BYTES, Writer
from p2pfed.updates.sparse_sum import operation as operations
from p2pfed.updates.sparse_sum import snapshot
from p2pfed.updates.sparse_sum.author_log import AuthorLog
from p2pfed.updates.sparse_sum.operation import Operation, read_vector
from p2pfed.updates.sparse_sum.terms import AUTHORS_MAX, Integers, Terms

_CHUNK_VALUES: Final = 2**20  # at a time, so that float64 copies of all values are never there


@final
class SparseSum(AuthorLogs[Terms, AuthorLog, Operation]):
    """Logs of sparse updates, and the model that is the initial one less their sum.

    `weights = float32(float64(initial) - outer_rate / peer_count * sum of all updates)`. The sum is
    one of integers, so equal logs give equal bits, whatever the order in which they came. A late
    update counts as much as one in time, and an author can be taken out again.

    Source: Sarfi et al. 2025, "Communication efficient LLM pre-training with SparseLoCo", alg. 1.
    Differs: no server and no rounds in step: the divisor is a constant of the run instead of the
        number of updates in a round, and sums are exact.

    Args:
        terms: Of the run.
    """

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms, AuthorLog.empty(terms))

    def next_operation(self, writer: Writer, data: bytes) -> Operation:
        """Make a writer's next operation, to be signed, published and then applied.

        Args:
            writer: This peer.
            data: What it adds, as the codec of the terms encoded it.

        Raises:
            LocalError: If that is no encoding of the codec, or beyond a limit.
        """
        try:
            places, amounts = read_vector(data, self.terms)
            digest = self.log(writer).then(places, amounts).digest()
        except CodecError as error:
            raise LocalError(f"{error}: encode with the codec of the terms") from error
        except LimitExceeded as error:
            raise LocalError(f"{error}: train with smaller steps, or with larger limits") from error
        return Operation(data=data, places=places, amounts=amounts, digest=digest)

    def sums(self) -> Integers:
        """Return the sums of all authors in units, shape (d,), int64.

        The budget binds an author in all its incarnations together. Which of their operations
        came first nobody can say, so all count, and a value that they would move further together
        is moved as far as the budget goes: no life takes another's place.

        Raises:
            LocalError: If there are 2^20 authors or more.
        """
        if len({writer.author for writer in self._logs}) > AUTHORS_MAX:
            raise LocalError(f"more than {AUTHORS_MAX} authors: their sums could overflow")
        total = np.zeros(self.terms.size, dtype=np.int64)
        most = self.terms.budget_units
        for lives in self.counting():
            if len(lives) == 1:
                total += lives[0].sums
            else:
                total += np.clip(sum(log.sums for log in lives), -most, most)
        return total

    @override
    def materialize(self, start: Tensor, *, out: Tensor | None = None) -> Tensor:
        # Each value is one product and one sum in float64, which IEEE 754 fixes, rounded once.
        self._check_start(start)
        weights = torch.empty_like(start) if out is None else out
        sums = torch.from_numpy(self.sums())
        for first in range(0, self.terms.size, _CHUNK_VALUES):
            place = slice(first, first + _CHUNK_VALUES)
            values = sums[place].to(start.device).double()
            values *= -self.terms.step
            values += start[place]
            weights[place] = values  # the one rounding
        return weights

    @property
    @override
    def operation_bytes_max(self) -> int:
        return operations.bytes_max(self.terms)

    @property
    @override
    def snapshot_bytes_max(self) -> int:
        return DIGEST_BYTES + snapshot.bytes_max(self.terms.size, self.terms.budget_units)

    @override
    def encode(self, operation: Operation) -> bytes:
        return operations.encode(operation)

    @override
    def decode(self, data: bytes | memoryview) -> Operation:
        return operations.decode(data, self.terms)

    @override
    def _read_log(self, sequence: int, sums: bytes | memoryview) -> AuthorLog:
        return AuthorLog.restore(self.terms, sequence, sums)
