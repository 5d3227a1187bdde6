"""What all peers of a run agree on about its sparse sum."""

import math
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from p2pfed.errors import ConfigError
from p2pfed.updates.codecs.sparse import FLOAT16_MAX, Sparse
from p2pfed.updates.construction import Constant, check_integer, check_number

Integers = NDArray[np.int64]

AUTHORS_MAX: Final = 2**20 - 1  # 255 times what a peer remembers
BUDGET_UNITS_MAX: Final = 2**43  # so that the sums of so many authors stay within 64 bits

_FRACTION_BITS: Final = 24  # of float16: all its values are multiples of 2^-24


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The constants of a sparse sum.

    Attributes:
        size: d, the length of the gossip vector.
        peer_count: R0, by which sums are divided: about how many peers take part. It is fixed, or
            the model would depend on who has been heard of.
        outer_rate: alpha, above 0.
        norm_max: The largest length (Euclidean norm) of one update.
        budget: The largest magnitude to which one author may add up any one value, over the whole
            run. It moves a value of the model by at most outer_rate / peer_count times that.
        codec: Of the updates. No value of one update is beyond its range, 65504 * 2^exponent.

    Raises:
        ConfigError: If a constant is out of range.
    """

    size: int
    peer_count: int
    outer_rate: float = 1.0
    norm_max: float = 100.0  # guess: what many local steps move is shorter
    budget: float = 64.0  # guess: weights are smaller, and so is the way of one author
    codec: Sparse = field(default_factory=Sparse)

    def __post_init__(self) -> None:
        check_integer(self.size, "method.size", least=1)
        check_integer(self.peer_count, "method.peer_count", least=1)
        check_number(self.outer_rate, "method.outer_rate", above=0.0)
        check_number(self.norm_max, "method.norm_max", above=0.0)
        check_number(self.budget, "method.budget", above=0.0)
        if self.peer_count > AUTHORS_MAX:
            raise ConfigError("method.peer_count", self.peer_count, f"write at most {AUTHORS_MAX}")
        if not 1.0 <= self.budget / self.unit <= BUDGET_UNITS_MAX:
            fix = f"write {self.unit:g} to {BUDGET_UNITS_MAX * self.unit:g}, or another exponent"
            raise ConfigError("method.budget", self.budget, fix)

    @property
    def unit(self) -> float:
        """What all values of updates are integers of: 2^(exponent - 24)."""
        return math.ldexp(1.0, self.codec.exponent - _FRACTION_BITS)

    @property
    def budget_units(self) -> int:
        """The budget in units."""
        return int(self.budget / self.unit)

    @property
    def value_max(self) -> float:
        """The largest magnitude of one value of an update that codec and budget let pass."""
        return min(FLOAT16_MAX * 2.0**self.codec.exponent, self.budget)

    @property
    def step(self) -> float:
        """How far the model moves per unit of the sum."""
        return self.outer_rate / self.peer_count * self.unit

    def describe(self) -> dict[str, Constant]:
        """Return the constants, for a genesis; the size and the codec stand there anyway."""
        return {
            "budget": self.budget,
            "norm_max": self.norm_max,
            "outer_rate": self.outer_rate,
            "peer_count": self.peer_count,
        }
