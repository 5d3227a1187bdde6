"""The method `adapter-set`: peers add low-rank changes to the model, each of a rank of its own."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final, final

from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import check_integer, check_number
from p2pfed.updates.methods.ledger_method import LedgerMethod
from p2pfed.updates.specification import ParameterEntry, ParameterSpecification

_TERMS: Final = ("bits", "rank_max", "entry_max", "budget", "open_max", "tolerance")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSetMethod(LedgerMethod):
    """The model is the initial one and the sum of all changes that peers have published.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
    low-rank adaptations".
    Differs: without a server; see `AdapterSet` and `Contributor`.

    Attributes:
        bits: Of each number of a factor: 8 or 16.
        rank_max: The largest rank of a change, or of a compaction.
        entry_max: The largest magnitude that one change could add to an entry.
        budget: The largest sum of these, of all changes of one author that count.
        open_max: Changes of one author that count before it has to compact them.
        tolerance: How far a compaction may be from what it replaces, as a part of the length of
            that.
        rank: Of what this peer publishes.
        share: What part of its steps this peer adds to the model, at most 1: one over the number
            of peers. The default fits four.
        feedback: How much of what a change leaves out waits for the next one, in [0, 1].
    """

    name: ClassVar[str] = "adapter-set"
    own_constants: ClassVar[tuple[str, ...]] = ("rank", "share", "feedback")

    bits: int = 8
    rank_max: int = 64
    entry_max: float = 16.0
    budget: float = 64.0
    open_max: int = 16
    tolerance: float = 0.1
    rank: int = 8
    share: float = 0.25  # guess: a few peers, or many that each know little
    feedback: float = 1.0

    @override
    def __post_init__(self) -> None:
        LedgerMethod.__post_init__(self)
        self._terms(bytes(32), ((1, 1),))
        check_integer(self.rank, "method.rank", least=1)
        if self.rank > self.rank_max:
            fix = f"write at most the run's rank_max of {self.rank_max}"
            raise ConfigError("method.rank", self.rank, fix)
        check_number(self.share, "method.share", above=0.0, most=1.0)
        check_number(self.feedback, "method.feedback", least=0.0)
        if self.feedback > 1.0:
            raise ConfigError("method.feedback", self.feedback, "write a number from 0 to 1")
        for name in ("entry_max", "budget", "tolerance", "share", "feedback"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @override
    def ledger(
        self, specification: ParameterSpecification, *, run_id: bytes, codec: Codec | None
    ) -> AdapterSet:
        assert codec is None
        shapes = tuple(matrix_shape(entry) for entry in specification.entries)
        return AdapterSet(self._terms(run_id, shapes))

    def _terms(self, run_id: bytes, shapes: tuple[tuple[int, int], ...]) -> Terms:
        constants = {name: getattr(self, name) for name in _TERMS}
        return Terms(run_id=run_id, shapes=shapes, **constants)


def matrix_shape(entry: ParameterEntry) -> tuple[int, int]:
    """Return a tensor's shape as a matrix: its first size, and all others together."""
    return (entry.shape[0], prod(entry.shape[1:])) if entry.shape else (1, 1)
