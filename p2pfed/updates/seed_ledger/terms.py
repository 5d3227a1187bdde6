"""What all peers of a run agree on about its SeedLedger."""

import math
from dataclasses import dataclass
from typing import Final, final

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import Constant, check_integer
from p2pfed.updates.seed_ledger import basis
from p2pfed.updates.seed_ledger.basis import Basis, epoch_key

STEPS_MAX: Final = 2**32 - 1

_FRACTION_BITS_MAX: Final = 64
_EPOCHS_MAX: Final = 2**16
_AUTHORS_MAX: Final = 2**10  # guess: four times those whose logs a peer keeps


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The constants of a SeedLedger.

    A change of the model is a sum of directions times coefficients times 2^-q. A good q gives the
    coefficients of usual steps 10 to 16 bits: fewer lose precision, more cost bytes. That is q of
    20 to 24 for learning rates of 1e-3, 30 to 32 for those of large language models.

    Attributes:
        run_id: Of the run; all directions come from it.
        size: d, the length of the gossip vector.
        direction_count: K. More directions reach more models, and make newcomers' downloads longer.
        fraction_bits: q.
        coefficient_max: The largest magnitude of a coefficient in one operation.
        epoch_count: How many epochs there are, from 0. Each that somebody uses costs everybody a
            transform of the whole vector, and memory for K sums per author: a liar will use all.
        budget: The largest length of what one author may move in one epoch, the Euclidean norm of
            its summed coefficients. It bounds the harm of a liar: the weights move by at most
            2^-q * sqrt(padded d) * budget in each.

    Raises:
        ConfigError: If a constant is out of range.
    """

    run_id: bytes
    size: int
    direction_count: int = 1_024
    fraction_bits: int = 24
    coefficient_max: int = 2**20
    epoch_count: int = 64
    budget: int = 2**22

    def __post_init__(self) -> None:
        field = "method."
        for name in (*self.describe(), "size"):
            if name != "basis":
                check_integer(getattr(self, name), field + name, least=1)
        count = self.direction_count
        if count & (count - 1) or not basis.DIRECTIONS_MIN <= count <= basis.DIRECTIONS_MAX:
            fix = f"write a power of two, {basis.DIRECTIONS_MIN} to {basis.DIRECTIONS_MAX}"
            raise ConfigError(field + "direction_count", count, fix)
        if count > self.size:  # cut off, directions would not be orthogonal any more
            fix = f"write at most the {self.size} parameters of the model"
            raise ConfigError(field + "direction_count", count, fix)
        for name, most in (("fraction_bits", _FRACTION_BITS_MAX), ("epoch_count", _EPOCHS_MAX)):
            if getattr(self, name) > most:
                raise ConfigError(field + name, getattr(self, name), f"write at most {most}")
        # One author alone can then never make sums leave 32 bits, nor squares leave 62.
        if self.budget**2 * count >= 2**62:
            fix = f"write less than 2^31 / sqrt({count})"
            raise ConfigError(field + "budget", self.budget, fix)
        # Nor so many authors, in all epochs, more than float64 holds: nobody could make the model.
        per_epoch_end = 2**53 // (_AUTHORS_MAX * self.epoch_count)
        if self.budget**2 * count >= per_epoch_end**2:
            most = 2**53 // (_AUTHORS_MAX * (math.isqrt(self.budget**2 * count) + 1))
            raise ConfigError(
                field + "epoch_count", self.epoch_count, f"write at most {most}, or a lower budget"
            )
        if self.coefficient_max > self.budget:
            fix = f"write at most the budget of {self.budget}"
            raise ConfigError(field + "coefficient_max", self.coefficient_max, fix)

    def basis(self, epoch: int) -> Basis:
        """Return the directions of an epoch."""
        return Basis(
            key=epoch_key(self.run_id, epoch),
            direction_count=self.direction_count,
            size=self.size,
        )

    def describe(self) -> dict[str, Constant]:
        """Return the constants, for a genesis; what follows from the genesis is left out."""
        return {
            "basis": basis.NAME,
            "budget": self.budget,
            "coefficient_max": self.coefficient_max,
            "direction_count": self.direction_count,
            "epoch_count": self.epoch_count,
            "fraction_bits": self.fraction_bits,
        }
