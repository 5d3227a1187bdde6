"""The adapter set: increments of all peers, from which everyone computes the same model."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError, RemoteError
from p2pfed.updates.adapter_set import author_log
from p2pfed.updates.adapter_set import operation as operations
from p2pfed.updates.adapter_set.author_log import AuthorLog, reach_of
from p2pfed.updates.adapter_set.increment import Increment
from p2pfed.updates.adapter_set.operation import Operation
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.log import Writer

# Of how many lives all increments count: the one that a lost disk ended, and the one after it.
_FULL_LIVES: Final = 2


@final
class AdapterSet(AuthorLogs[Terms, AuthorLog, Operation]):
    """Logs of low-rank changes, of any ranks, and the model that is the base and their sum.

    An author keeps the number of its own increments small: from time to time, and at the latest
    when as many count as the terms allow, its operation replaces them by one of a small rank. All
    others hold what is replaced, and check it; who only gets a snapshot later takes its author's
    word for it, within the budget.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
        low-rank adaptations".
    Differs: no server merges a round's adapters into the base; what an author added stays its own,
        and can be taken out again.

    Args:
        terms: Of the run.
    """

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms, AuthorLog(terms=terms))

    def next_operation(
        self, writer: Writer, increment: Increment, compaction: Increment | None = None
    ) -> Operation:
        """Make a writer's next operation, to be signed, published and then applied.

        Args:
            writer: This peer.
            increment: What it adds; an empty one adds nothing.
            compaction: Of all its increments that count, as `make_compaction` made it.

        Raises:
            LocalError: If one of them is beyond a limit, or the compaction is something else.
        """
        try:
            digest = self.log(writer).then(increment, compaction).digest()
        except RemoteError as error:
            raise LocalError(f"{error}: compact before, or take smaller steps") from error
        return Operation(increment=increment, compaction=compaction, digest=digest)

    def increments(self) -> Iterator[Increment]:
        """Return the increments of which the model is the sum, in the one order of summing.

        The budget binds an author in all its incarnations together. Which of their operations came
        first nobody can say, so all count, and where they could add up to more than the budget,
        each weighs less: no life takes another's place. Of more lives than two, only as many
        increments count as two can have, the first ones of each: those cost time, however small.
        """
        for lives in self.counting():
            in_turn = zip_longest(*(log.increments for log in lives))
            members = [each for turn in in_turn for each in turn if each is not None]
            del members[_FULL_LIVES * self.terms.open_max :]
            reach = reach_of(members)
            for each in members:
                is_within = reach <= self.terms.budget
                yield each if is_within else each.times(self.terms.budget / reach)

    @override
    def materialize(self, start: Tensor, *, out: Tensor | None = None) -> Tensor:
        # Products of factors are whole numbers that float64 holds, in whatever order they are
        # added; each is scaled and added in float64, in one order, and the result rounded once.
        self._check_start(start)
        weights = torch.empty_like(start) if out is None else out
        counting, first = list(self.increments()), 0
        for layer, (rows, columns) in enumerate(self.terms.shapes):
            place = slice(first, first + rows * columns)
            total = torch.zeros(rows, columns, dtype=torch.float64, device=start.device)
            for each in counting:
                if (product := each.product(layer, start.device)) is not None:
                    total += product
            weights[place] = total.view(-1) + start[place]
            first = place.stop
        return weights

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
