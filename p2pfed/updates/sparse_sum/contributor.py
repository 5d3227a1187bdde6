"""The author's side of a sparse sum: from trained vectors to operations."""

from typing import Final, final

from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.error_feedback import ErrorFeedback
from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.operation import Operation
from p2pfed.updates.sparse_sum.terms import Terms

DECAY: Final = 0.95  # SparseLoCo's beta


@final
class Contributor:
    """Publishes the largest values of what a peer trained, and keeps the rest for later.

    After a local phase from theta to theta_r: e <- decay * e + (theta - theta_r), q is e as the
    codec rounds it, and e <- e - q. What quantization lost is kept too.

    Args:
        terms: Of the run.
        decay: beta, in (0, 1]. Peers need not agree on it.

    Raises:
        ConfigError: If the decay is out of range.

    Source: Sarfi et al. 2025, SparseLoCo, alg. 1, lines 8 to 12.
    """

    def __init__(self, terms: Terms, *, decay: float = DECAY) -> None:
        self._feedback = ErrorFeedback(terms.codec, terms.size, decay=decay)

    def next_operation(
        self, ledger: SparseSum, writer: Writer, start: Tensor, trained: Tensor
    ) -> Operation:
        """Make the operation of a local phase, to be signed, published and then applied.

        Args:
            ledger: Of the terms.
            writer: This peer.
            start: The model from which the phase started, shape (d,), float32.
            trained: What it ended at, the same.

        Raises:
            LocalError: If the codec cannot encode the difference, or it is beyond the budget. What
                is kept for later is then as before.
        """
        before = self._feedback.state()
        sent = self._feedback.encode(start - trained)
        try:
            return ledger.next_operation(writer, sent.data)
        except LocalError:
            self._feedback.load_state(before)
            raise

    def state(self) -> dict[str, Tensor]:
        """Return what the next operations depend on."""
        return self._feedback.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of another size.
        """
        self._feedback.load_state(state)
