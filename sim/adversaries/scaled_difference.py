"""Tensor attack: publish a multiple of what was learned, a negative one to undo it."""

from typing import Any, Final, final

from typing_extensions import override

from sim.adversaries.adversary import Adversary

SCALE: Final = -10.0  # far outside, so that a mean of eight rows already turns around


@final
class ScaledDifference(Adversary):
    """Publishes genesis + scale * (x - genesis), and otherwise takes part as everybody does.

    Args:
        scale: Factor of the difference from the initial vector.
    """

    def __init__(self, scale: float = SCALE) -> None:
        self.scale = scale

    @override
    def difference(self, own: Any) -> Any:
        return self.scale * own
