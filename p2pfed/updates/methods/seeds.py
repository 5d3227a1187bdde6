"""The method `seeds`: peers learn by losses alone, and publish one integer per step."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import check_choice, check_number
from p2pfed.updates.methods.direction_method import DirectionMethod

UNIFORM: Final = "uniform"
BY_HISTORY: Final = "history"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds(DirectionMethod):
    """A local step measures the loss on both sides of the model along one of K directions.

    Source: Qin et al. 2024, "Federated full-parameter tuning of billion-sized language models with
    communication cost under 18 kilobytes" (FedKSeed, arXiv 2312.06353), and its FedKSeed-Pro.
    Differs: without a server; see `run_local_phase`, `DirectionHistory` and `SeedLedger`.

    Attributes:
        probe_length: How far the two probes of a step lie from the weights, per weight.
        sampling: `uniform` draws all directions alike, `history` those more often that moved the
            model more.
    """

    name: ClassVar[str] = "seeds"
    own_constants: ClassVar[tuple[str, ...]] = (
        *DirectionMethod.own_constants,
        "probe_length",
        "sampling",
    )

    budget: int = 2**23  # one epoch may have to hold all of a run
    probe_length: float = 1e-3  # MeZO, of language models
    sampling: str = UNIFORM

    @override
    def __post_init__(self) -> None:
        DirectionMethod.__post_init__(self)
        check_number(self.probe_length, "method.probe_length", above=0.0)
        object.__setattr__(self, "probe_length", float(self.probe_length))
        check_choice(self.sampling, "method.sampling", (UNIFORM, BY_HISTORY))
        if self.sampling == BY_HISTORY and self.rounds_per_epoch:
            fix = "write 0: what one epoch's directions moved says nothing of another's"
            raise ConfigError("method.rounds_per_epoch", self.rounds_per_epoch, fix)
