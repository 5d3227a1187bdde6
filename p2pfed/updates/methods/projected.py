"""The method `projected`: peers learn by gradients, and publish a projection of what changed."""

from dataclasses import dataclass
from typing import ClassVar, final

from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import check_number
from p2pfed.updates.methods.direction_method import DirectionMethod


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Projected(DirectionMethod):
    """Local steps are those of the step rule; what they change is projected onto K directions.

    Source: Shu et al. 2024, "Ferret: federated full-parameter tuning at scale for large language
    models" (arXiv 2409.06277).
    Differs: without a server; see `Projector` and `SeedLedger`.

    Attributes:
        feedback: How much of what a projection leaves out waits for the next one, in [0, 1].
    """

    name: ClassVar[str] = "projected"
    own_constants: ClassVar[tuple[str, ...]] = (*DirectionMethod.own_constants, "feedback")

    rounds_per_epoch: int = 1  # the same directions would never see what waits
    feedback: float = 1.0

    @override
    def __post_init__(self) -> None:
        DirectionMethod.__post_init__(self)
        check_number(self.feedback, "method.feedback", least=0.0)
        if self.feedback > 1.0:
            raise ConfigError("method.feedback", self.feedback, "write a number from 0 to 1")
        object.__setattr__(self, "feedback", float(self.feedback))
