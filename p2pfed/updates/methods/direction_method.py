"""What the methods whose model is a SeedLedger have in common."""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import check_choice, check_integer, check_number
from p2pfed.updates.methods.ledger_method import LedgerMethod
from p2pfed.updates.seed_ledger.basis import DIRECTIONS_MAX, NAME
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.specification import ParameterSpecification

_TERMS: Final = (
    "direction_count",
    "fraction_bits",
    "coefficient_max",
    "epoch_count",
    "budget",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionMethod(LedgerMethod, ABC):
    """Peers exchange integers: how far to move along which of K directions.

    Attributes:
        basis: How directions are made.
        direction_count: K, a power of two.
        fraction_bits: q: coefficients count units of 2^-q.
        coefficient_max: The largest magnitude of a coefficient in one operation.
        epoch_count: How many epochs there are.
        budget: The largest length of what one author may move in one epoch.
        share: What part of its steps this peer adds to the model, at most 1: one over the number
            of peers. The default fits four.
        rounds_per_epoch: Rounds after which this peer goes on to the next epoch, and after the last
            one to the first; 0 to stay in the first.
    """

    own_constants: ClassVar[tuple[str, ...]] = ("share", "rounds_per_epoch")

    basis: str = NAME
    direction_count: int = 1_024
    fraction_bits: int = 24
    coefficient_max: int = 2**20
    epoch_count: int = 64
    budget: int = 2**22
    share: float = 0.25  # guess: a few peers, or many that each know little
    rounds_per_epoch: int = 0

    @override
    def __post_init__(self) -> None:
        LedgerMethod.__post_init__(self)
        check_choice(self.basis, "method.basis", (NAME,))
        self.terms(run_id=bytes(32), size=DIRECTIONS_MAX)
        check_number(self.share, "method.share", above=0.0, most=1.0)
        object.__setattr__(self, "share", float(self.share))
        check_integer(self.rounds_per_epoch, "method.rounds_per_epoch", least=0)

    @override
    def ledger(
        self, specification: ParameterSpecification, *, run_id: bytes, codec: Codec | None
    ) -> SeedLedger:
        assert codec is None
        return SeedLedger(self.terms(run_id=run_id, size=specification.size))

    def terms(self, *, run_id: bytes, size: int) -> Terms:
        """Return what all peers of a run agree on about its ledger.

        Args:
            run_id: Of the run.
            size: d, the values that train.

        Raises:
            ConfigError: If a constant does not fit the model.
        """
        constants = {name: getattr(self, name) for name in _TERMS}
        return Terms(run_id=run_id, size=size, **constants)
