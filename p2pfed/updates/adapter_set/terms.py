"""What all peers of a run agree on about its adapter set."""

from dataclasses import dataclass
from typing import Final, final

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import Constant, check_integer, check_number

_EXACT_END: Final = 2**53  # whole numbers below this are float64
_MEMBERS_MAX: Final = 2**16  # their ids alone are 2 MiB


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The constants of an adapter set.

    Attributes:
        run_id: Of the run; probes of compactions come from it.
        shapes: Rows and columns of each weight that is changed, in the order of the genesis.
        bits: Of each number of a factor: 8 or 16.
        rank_max: The largest rank of one increment, or of a compaction.
        entry_max: The largest magnitude that an increment could add to one entry of a weight.
        members_max: The most increments that one compaction replaces.
        tolerance: How far a compaction may be from what it replaces, as a part of the length of
            that.

    Raises:
        ConfigError: If a constant is out of range.
    """

    run_id: bytes
    shapes: tuple[tuple[int, int], ...]
    bits: int = 8
    rank_max: int = 64
    entry_max: float = 16.0  # guess: weights are smaller
    members_max: int = 256
    tolerance: float = 0.1  # 8 bits and a cut-off tail of singular values stay below

    def __post_init__(self) -> None:
        if not self.shapes or any(min(shape) < 1 for shape in self.shapes):
            raise ConfigError("method.shapes", self.shapes, "write rows and columns of a weight")
        if self.bits not in (8, 16):
            raise ConfigError("method.bits", self.bits, "write 8 or 16")
        check_integer(self.rank_max, "method.rank_max", least=1)
        check_number(self.entry_max, "method.entry_max", above=0.0)
        check_integer(self.members_max, "method.members_max", least=2)
        check_number(self.tolerance, "method.tolerance", above=0.0, below=1.0)
        if self.members_max > _MEMBERS_MAX:
            raise ConfigError("method.members_max", self.members_max, "write at most 65536")
        # Products with a probe are then exact, and so equal on every machine.
        columns = max(columns for _, columns in self.shapes)
        if self.rank_max * columns * self.number_max**2 >= _EXACT_END:
            raise ConfigError("method.rank_max", self.rank_max, "write less, or 8 bits")

    @property
    def number_max(self) -> int:
        """The largest number of a factor."""
        return (1 << (self.bits - 1)) - 1

    def describe(self) -> dict[str, Constant]:
        """Return the constants, for a genesis; what follows from it is left out."""
        return {
            "bits": self.bits,
            "entry_max": self.entry_max,
            "members_max": self.members_max,
            "rank_max": self.rank_max,
            "tolerance": self.tolerance,
        }
