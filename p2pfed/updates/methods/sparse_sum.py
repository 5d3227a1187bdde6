"""The method `sparse-sum`: peers train for long, and publish the largest values of what changed."""

from dataclasses import dataclass, replace
from typing import ClassVar, final

from torch import nn
from typing_extensions import override

from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.sparse import Sparse
from p2pfed.updates.construction import check_names
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods.ledger_method import LedgerMethod
from p2pfed.updates.methods.lora import Lora
from p2pfed.updates.sparse_sum.contributor import DECAY, Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.terms import Terms
from p2pfed.updates.specification import ParameterSpecification


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SparseSumMethod(LedgerMethod):
    """The model is the initial one less the sum of what all peers have published.

    All tensors that train are one vector, in the order of the genesis, before the codec cuts it
    into chunks: a small factor of an adapter has no chunk of its own.

    Source: Sarfi et al. 2025, "Communication efficient LLM pre-training with SparseLoCo".
    Differs: without a server; see `SparseSum` and `Contributor`.

    Attributes:
        targets: Linear layers that get low-rank adapters, as of `Lora`, beside which `modules`
            train whole; if there are none, there are no adapters.
        rank: Of the adapters.
        alpha: As of `Lora`.
        peer_count: By which sums are divided: about how many peers take part.
        outer_rate: Factor of the sum.
        norm_max: The largest length of one update.
        budget: The largest magnitude to which one author may add up any one value.
        decay: Factor of what waits, before the next difference is added, in (0, 1].
    """

    name: ClassVar[str] = "sparse-sum"
    codec_name: ClassVar[str] = Sparse.name
    own_constants: ClassVar[tuple[str, ...]] = ("decay",)

    targets: tuple[str, ...] = ()
    rank: int = 8
    alpha: float = 16.0
    peer_count: int = 4  # guess: a few peers
    outer_rate: float = 1.0
    norm_max: float = 100.0
    budget: float = 64.0
    decay: float = DECAY

    @override
    def __post_init__(self) -> None:
        LedgerMethod.__post_init__(self)
        if self.targets:
            check_names(self.targets, "method.targets")
            self._adapters()
        terms = self._terms(1, Sparse())
        Contributor(terms, decay=self.decay)
        for name in ("alpha", "outer_rate", "norm_max", "budget", "decay"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    @override
    def is_low_rank(self) -> bool:
        return bool(self.targets)

    @override
    def ledger(
        self, specification: ParameterSpecification, *, run_id: bytes, codec: Codec | None
    ) -> SparseSum:
        assert isinstance(codec, Sparse)
        return SparseSum(self._terms(specification.size, codec))

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        if not self.targets:
            return LedgerMethod.adapt(self, model, seed=seed)
        return replace(self._adapters().adapt(model, seed=seed), method=self)

    def _adapters(self) -> Lora:
        return Lora(
            rank=self.rank,
            alpha=self.alpha,
            targets=self.targets,
            modules=self.modules,
            initial=self.initial,
        )

    def _terms(self, size: int, codec: Sparse) -> Terms:
        return Terms(
            size=size,
            peer_count=self.peer_count,
            outer_rate=self.outer_rate,
            norm_max=self.norm_max,
            budget=self.budget,
            codec=codec,
        )
