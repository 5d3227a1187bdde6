"""What all peers of a run agree on about its adapter set."""

from dataclasses import dataclass
from typing import Final, final

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import Constant, check_integer, check_number

_EXACT_END: Final = 2**53  # whole numbers below this are float64
_OPEN_MAX: Final = 2**10  # a snapshot holds them all


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
        budget: The largest sum of these magnitudes, of all increments of one author that count.
        open_max: The most increments of one author that count, its compaction among them: before
            it adds another it has to compact them.
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
    budget: float = 64.0  # guess: four such increments, or a long way of small ones
    open_max: int = 16  # guess: who comes late loads as many of each author
    tolerance: float = 0.1  # 8 bits and a cut-off tail of singular values stay below

    def __post_init__(self) -> None:
        if not self.shapes or any(min(shape) < 1 for shape in self.shapes):
            raise ConfigError("method.shapes", self.shapes, "write rows and columns of a weight")
        if self.bits not in (8, 16):
            raise ConfigError("method.bits", self.bits, "write 8 or 16")
        check_integer(self.rank_max, "method.rank_max", least=1)
        check_number(self.entry_max, "method.entry_max", above=0.0)
        check_number(self.budget, "method.budget", least=self.entry_max)
        check_integer(self.open_max, "method.open_max", least=2)
        check_number(self.tolerance, "method.tolerance", above=0.0, below=1.0)
        if self.open_max > _OPEN_MAX:
            raise ConfigError("method.open_max", self.open_max, f"write at most {_OPEN_MAX}")
        # Products with a probe are then exact, and so equal on every machine.
        columns = max(columns for _, columns in self.shapes)
        if self.rank_max * columns * self.number_max**2 >= _EXACT_END:
            raise ConfigError("method.rank_max", self.rank_max, "write less, or 8 bits")

    @property
    def size(self) -> int:
        """The length d of the gossip vector."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def number_max(self) -> int:
        """The largest number of a factor."""
        return (1 << (self.bits - 1)) - 1

    def describe(self) -> dict[str, Constant]:
        """Return the constants, for a genesis; what follows from it is left out."""
        return {
            "bits": self.bits,
            "budget": self.budget,
            "entry_max": self.entry_max,
            "open_max": self.open_max,
            "rank_max": self.rank_max,
            "tolerance": self.tolerance,
        }
