"""Turn away updates of an unusual length as they arrive, one by one."""

import math
import statistics
import sys
from dataclasses import dataclass
from typing import Any, Final, Self, final

from robust.errors import RuleError
from robust.peers import peer_key
from robust.reputation.snapshot import read_snapshot, write_snapshot

_KIND: Final = "norm gate"
_RANGES: Final = {"norm": (0.0, sys.float_info.max)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The latest accepted update of one origin.

    Attributes:
        norm: How long it was.
        arrival: How many were accepted before it.
    """

    norm: float
    arrival: int


@final
class NormGate:
    """Turn away updates that are much longer than those accepted lately.

    It is for updates that are taken as they come, where no round's rows stand beside each other; in
    a round, `robust.Integrator` has a norm cap of its own. It costs nothing, so every update goes
    through it, while a `LossGate` tries out a few.

    Give it the own update's norm before those of others: while it knows none, any length passes.

    Args:
        norm_cap_ratio: Turn away norms above this many medians, at least 1.
        count: Origins whose latest norms the median is of; at least 1.
        genesis: What the norms are about; a snapshot of another genesis is refused.

    Raises:
        RuleError: If a parameter is out of range.

    Source: The fast filters of the Gauntlet of Lidin et al. 2025, "Incentivizing permissionless
        distributed learning of LLMs"; the norm threshold of Sun et al. 2019, "Can you really
        backdoor federated learning?".
    Differs: of each origin only the latest norm counts, or who sends often would set the scale. A
        median of zero sets no scale.
    Cost: O(count log(count)) time per update.
    """

    __slots__ = ("_count", "_lengths", "_ratio", "genesis")

    def __init__(self, *, norm_cap_ratio: float = 3.0, count: int = 32, genesis: str = "") -> None:
        if not norm_cap_ratio >= 1.0:
            raise RuleError(f"norm_cap_ratio={norm_cap_ratio} turns away half of all; at least 1")
        if count < 1:
            raise RuleError(f"count={count} remembers nothing; at least 1")
        self._ratio = norm_cap_ratio  # 3: guess, as in the Integrator
        self._count = count  # 32: guess, enough that a few liars are no majority
        self._lengths: dict[bytes, Length] = {}
        self.genesis: Final = genesis

    def admit(self, origin: bytes | str, norm: float) -> bool:
        """Tell whether an update may be used, and remember its length if so.

        Args:
            origin: Who made it.
            norm: Its length, any number; what is not finite and >= 0 is turned away.
        """
        if not (math.isfinite(norm) and norm >= 0.0):
            return False
        median = statistics.median(it.norm for it in self._lengths.values()) if self._lengths else 0
        if median > 0.0 and norm > self._ratio * median:
            return False
        arrival = 1 + max((it.arrival for it in self._lengths.values()), default=-1)
        self._lengths[peer_key(origin)] = Length(norm=norm, arrival=arrival)
        self._forget()
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return all norms, as JSON can hold them."""
        return write_snapshot(_KIND, self.genesis, self._lengths)

    @classmethod
    def restore(
        cls,
        snapshot: object,
        *,
        norm_cap_ratio: float = 3.0,
        count: int = 32,
        genesis: str = "",
    ) -> Self:
        """Make a gate that goes on where another one was.

        Args:
            snapshot: What `snapshot` returned, perhaps by way of a file.
            norm_cap_ratio: As for a new gate; it may be another one.
            count: As for a new gate; it may be another one.
            genesis: As for a new gate.

        Raises:
            SnapshotError: If it is damaged or of another genesis or schema; a RuleError. The
                caller then starts with a new gate, and says so.
        """
        gate = cls(norm_cap_ratio=norm_cap_ratio, count=count, genesis=genesis)
        gate._lengths = read_snapshot(snapshot, _KIND, genesis, Length, _RANGES)
        gate._forget()
        return gate

    def _forget(self) -> None:
        while len(self._lengths) > self._count:
            oldest = min(self._lengths, key=lambda key: (self._lengths[key].arrival, key))
            del self._lengths[oldest]
