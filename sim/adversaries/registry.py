"""All attacks by name."""

from collections.abc import Callable, Mapping
from typing import Final

from p2pfed.errors import ConfigError
from sim.adversaries.adversary import Adversary
from sim.adversaries.frames import Equivocation, Garbage, Replay
from sim.adversaries.payloads import WrongBytes, WrongSize
from sim.adversaries.scaled_difference import SCALE, ScaledDifference
from sim.identities import identity_of, random_for

# Name to a maker of (seed of the world, number of the peer, scale).
ADVERSARIES: Final[Mapping[str, Callable[[int, int, float], Adversary]]] = {
    "equivocation": lambda seed, index, _: Equivocation(identity_of(seed, index)),
    "garbage": lambda seed, index, _: Garbage(random_for(seed, f"garbage/{index}")),
    "replay": lambda seed, index, _: Replay(random_for(seed, f"replay/{index}")),
    "scaled-difference": lambda _, __, scale: ScaledDifference(scale),
    "wrong-bytes": lambda _, __, ___: WrongBytes(),
    "wrong-size": lambda _, __, ___: WrongSize(),
}


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted."""
    return tuple(sorted(ADVERSARIES))


def create(name: str, *, seed: int, index: int, scale: float = SCALE) -> Adversary:
    """Make an adversary.

    Args:
        name: One of `names()`.
        seed: Of the world.
        index: Number of the peer that it makes hostile.
        scale: For `scaled-difference`: factor of the published difference.

    Raises:
        ConfigError: If the name is unknown.
    """
    if name not in ADVERSARIES:
        raise ConfigError("adversaries.kind", name, f"write one of {', '.join(names())}")
    return ADVERSARIES[name](seed, index, scale)
