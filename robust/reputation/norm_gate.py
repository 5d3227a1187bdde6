"""Turn away updates of an unusual length as they arrive, one by one."""

import math
import statistics
import sys
from dataclasses import dataclass, replace
from typing import Any, Final, Self, final

from robust.errors import RuleError
from robust.parameters import (
    check_real,
    check_text,
    check_whole_number,
    is_number,
    shown,
)
from robust.peers import peer_key
from robust.reputation.snapshot import read_snapshot, write_snapshot

_KIND: Final = "norm gate"
_RANGES: Final = {"norm": (0.0, sys.float_info.max)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The latest update of one origin.

    Attributes:
        norm: How long it was; if it was turned away, the longest that would have passed.
        age: How many updates came after it.
    """

    norm: float
    age: int


@final
class NormGate:
    """Turn away updates that are much longer than others lately.

    It is for updates that are taken as they come, where no round's rows stand beside each other; in
    a round, `robust.Integrator` has a norm cap of its own. It costs nothing, so every update goes
    through it, while a `LossGate` tries out a few.

    The scale is the median of the latest length of each origin and of the own one, the lower of two
    middle ones, and never below the own one. So tiny updates do not shut out whoever is as long as
    the peer itself, and one neighbor alone does not raise the scale. A length that is turned away
    counts as the longest that passes: where the lengths of most origins have outgrown the scale, it
    follows them. What came too long ago no longer counts.

    It does not stop origins that are the majority of those remembered from raising the scale, in
    steps of the ratio; whoever can send many updates from making the others' lengths old, which
    leaves the own one; and, for a peer whose own length is zero, the first one from setting the
    scale.

    Args:
        norm_cap_ratio: Turn away norms above this many times the scale, at least 1.
        count: Origins whose latest norms the median is of, beside the own one; at least 1.
        age_max: Updates after which a norm is forgotten; at least 1.
        genesis: What the norms are about; a snapshot of another genesis is refused.

    Raises:
        RuleError: If a parameter is out of range.

    Source: The fast filters of the Gauntlet of Lidin et al. 2025, "Incentivizing permissionless
        distributed learning of LLMs"; the norm threshold of Sun et al. 2019, "Can you really
        backdoor federated learning?".
    Differs: of each origin only the latest norm counts, or who sends often would set the scale;
        the own norm counts, that of refused updates too, cut, and norms age. A scale of zero is
        none.
    Cost: O(count log(count)) time per update.
    """

    __slots__ = ("_age_max", "_count", "_lengths", "_ratio", "genesis")

    def __init__(
        self,
        *,
        norm_cap_ratio: float = 3.0,
        count: int = 32,
        age_max: int = 256,
        genesis: str = "",
    ) -> None:
        if not is_number(norm_cap_ratio) or norm_cap_ratio < 1.0:
            raise RuleError(f"norm_cap_ratio={shown(norm_cap_ratio)} is not a number >= 1")
        check_whole_number(count, "count", least=1)
        check_whole_number(age_max, "age_max", least=1)
        check_text(genesis, "genesis")
        self._ratio = norm_cap_ratio  # 3: guess, as in the Integrator
        self._count = count  # 32: guess, enough that a few liars are no majority
        self._age_max = age_max  # 256: guess, eight updates of each origin remembered
        self._lengths: dict[bytes, Length] = {}
        self.genesis: Final = genesis

    def admit(self, origin: bytes | str, norm: float, *, own_norm: float) -> bool:
        """Tell whether an update may be used, and remember its length.

        Args:
            origin: Who made it; not the peer itself.
            norm: Its length, any number; what is not finite and >= 0 is turned away.
            own_norm: The length of the peer's own latest update, 0 if it has none.

        Raises:
            RuleError: If the own norm is not finite and >= 0, or the other one no number at all.
        """
        check_real(norm, "norm")
        if not is_number(own_norm) or not _is_length(own_norm):
            raise RuleError(f"own_norm={shown(own_norm)}: must be finite and >= 0")
        sender = peer_key(origin, "origin")
        for key, it in self._lengths.items():
            self._lengths[key] = replace(it, age=it.age + 1)
        self._forget()
        if not _is_length(norm):
            return False
        scale = self._scale(own_norm)
        norm_max = self._ratio * scale if scale > 0.0 else sys.float_info.max
        self._lengths[sender] = Length(norm=float(min(norm, norm_max)), age=0)
        self._forget()
        return norm <= norm_max

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
        age_max: int = 256,
        genesis: str = "",
    ) -> Self:
        """Make a gate that goes on where another one was.

        Args:
            snapshot: What `snapshot` returned, perhaps by way of a file.
            norm_cap_ratio: As for a new gate; it may be another one.
            count: As for a new gate; it may be another one.
            age_max: As for a new gate; it may be another one.
            genesis: As for a new gate.

        Raises:
            SnapshotError: If it is damaged or of another genesis or schema; a RuleError. The
                caller then starts with a new gate, and says so.
        """
        gate = cls(norm_cap_ratio=norm_cap_ratio, count=count, age_max=age_max, genesis=genesis)
        gate._lengths = read_snapshot(snapshot, _KIND, genesis, Length, _RANGES)
        gate._forget()
        return gate

    def _scale(self, own_norm: float) -> float:
        norms = [it.norm for it in self._lengths.values()]
        if own_norm > 0.0:
            norms.append(own_norm)
        return max(own_norm, statistics.median_low(norms)) if norms else 0.0

    def _forget(self) -> None:
        """Forget what is too old, and the oldest of what is too much."""
        order = sorted(self._lengths, key=lambda key: (self._lengths[key].age, key))
        for place, key in enumerate(order):
            if place >= self._count or self._lengths[key].age >= self._age_max:
                del self._lengths[key]


def _is_length(norm: float) -> bool:
    return math.isfinite(norm) and norm >= 0.0
