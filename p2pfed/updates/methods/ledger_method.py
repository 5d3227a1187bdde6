"""What the methods whose model is a SeedLedger have in common."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Final

from torch import nn
from typing_extensions import override

from p2pfed.updates.construction import (
    Constant,
    check_choice,
    check_integer,
    check_names,
    check_number,
)
from p2pfed.updates.method import INITIALS, AdaptedModel, Method
from p2pfed.updates.methods.full import Full
from p2pfed.updates.methods.head import Head
from p2pfed.updates.seed_ledger.basis import DIRECTIONS_MAX, NAME
from p2pfed.updates.seed_ledger.terms import Terms

_TERMS: Final = (
    "direction_count",
    "fraction_bits",
    "coefficient_max",
    "epoch_count",
    "budget",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMethod(Method):
    """Peers exchange integers, of which everybody computes the same model.

    Peers agree on the first constants, as of `Terms`, and on what trains. How a peer finds out what
    to add is its own affair, and no part of the genesis.

    Attributes:
        own_constants: Names of the constants that are this peer's alone.
        modules: Modules that train whole, as of `Head`; if there are none, everything trains.
        initial: As of `Full`.
        basis: How directions are made.
        direction_count: K, a power of two.
        fraction_bits: q.
        coefficient_max: The largest magnitude of a coefficient in one operation.
        epoch_count: How many epochs there are.
        budget: The largest length of what one author may move in one epoch.
        share: What part of its steps this peer adds to the model, such as one over the number of
            peers.
        rounds_per_epoch: Rounds after which this peer goes on to the next epoch, and after the last
            one to the first; 0 to stay in the first.
    """

    is_ledger: ClassVar[bool] = True
    own_constants: ClassVar[tuple[str, ...]] = ("share", "rounds_per_epoch")

    modules: tuple[str, ...] = ()
    initial: str = "portable"
    basis: str = NAME
    direction_count: int = 1_024
    fraction_bits: int = 24
    coefficient_max: int = 2**20
    epoch_count: int = 64
    budget: int = 2**22
    share: float = 0.25  # guess: a few peers, or many that each know little
    rounds_per_epoch: int = 0

    def __post_init__(self) -> None:
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)
        check_choice(self.basis, "method.basis", (NAME,))
        self.terms(run_id=bytes(32), size=DIRECTIONS_MAX)
        check_number(self.share, "method.share", above=0.0)
        object.__setattr__(self, "share", float(self.share))
        check_integer(self.rounds_per_epoch, "method.rounds_per_epoch", least=0)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        chosen: Method = Full(initial=self.initial)
        if self.modules:
            chosen = Head(modules=self.modules, initial=self.initial)
        return replace(chosen.adapt(model, seed=seed), method=self)

    @override
    def describe(self) -> dict[str, Constant]:
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in self.own_constants
        }

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
