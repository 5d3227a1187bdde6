"""All hostile peers by name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any, Final

from p2pfed.errors import ConfigError
from robust.parameters import meant
from sim.adversaries.adversary import Adversary
from sim.adversaries.frames import Equivocation, Garbage, Replay
from sim.adversaries.parameters import check_number
from sim.adversaries.payloads import WrongBytes, WrongSize
from sim.adversaries.scaled_difference import SCALE, ScaledDifference
from sim.identities import identity_of, random_for, seed_bytes

# Name to a maker of (seed of the world, number of the peer, the kind's own parameters).
ADVERSARIES: Final[Mapping[str, Callable[..., Adversary]]] = {
    "equivocation": lambda seed, index: Equivocation(identity_of(seed, index)),
    "garbage": lambda seed, index: Garbage(random_for(seed, f"garbage/{index}")),
    "replay": lambda seed, index: Replay(random_for(seed, f"replay/{index}")),
    "scaled-difference": lambda _seed, _index, scale=SCALE: _scaled_difference(scale),
    "wrong-bytes": lambda _seed, _index: WrongBytes(),
    "wrong-size": lambda _seed, _index: WrongSize(),
}

# Attacks that need nothing but the own vector, for which torch is loaded when one is made.
# "non-finite" is none of them: the codecs refuse to encode it, and the wire to decode it.
PUBLISHED: Final = (
    "delta-free-rider",
    "noise",
    "random-free-rider",
    "random-rescaling",
    "random-signs",
    "scaling",
    "sign-flip",
    "sleeper",
    "stale",
    "stale-own",
    "uniform-noise",
    "value-inversion",
    "zero",
)


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted; registered attacks among them."""
    return tuple(sorted([*ADVERSARIES, *PUBLISHED, *_registered(), *_on_data()]))


def create(
    name: str, *, seed: int, index: int, params: Mapping[str, Any] | None = None
) -> Adversary:
    """Make an adversary.

    Args:
        name: One of `names()`. A "sleeper+" before an attack on vectors delays it.
        seed: Of the world.
        index: Number of the peer that it makes hostile.
        params: The kind's own parameters: `scale` of `scaled-difference`, or those of the attack
            on vectors or on data.

    Raises:
        ConfigError: If the name or a parameter cannot be used.
    """
    params = params or {}
    if name in ADVERSARIES:
        maker = ADVERSARIES[name]
        known = list(signature(maker).parameters)[2:]
        for key, value in params.items():
            if key not in known:
                fix = f"remove it; {name} takes {', '.join(known) or 'none'}"
                raise ConfigError(f"adversaries.{key}", value, fix)
        return maker(seed, index, **params)
    if name in _on_data():
        return _poisoned(name, params)
    if not set(name.split("+")) <= {*PUBLISHED, *_registered()}:
        raise ConfigError("adversaries.kind", name, _fix(name))
    return _published(name, seed, index, params)


def _registered() -> tuple[str, ...]:
    from sim.adversaries.attacks.registry import registered_names

    return registered_names()


def _on_data() -> tuple[str, ...]:
    from sim.adversaries.attacks.registry import data_attack_names

    return data_attack_names()


def _fix(name: str) -> str:
    fix = f"write one of {', '.join(names())}"
    reason = _why_in_rounds(name)
    if reason is None:
        return f"{fix}{meant(name, names())}"
    return f'with messages, {reason}; write fidelity = "rounds", which has it, or {fix}'


def _why_in_rounds(name: str) -> str | None:
    """Return why what rounds have is not there with messages; None for a wrong name."""
    from sim.adversaries.attacks import attack_names

    parts = set(name.split("+"))
    if name == "silent":
        return "a peer that sends nothing is one of [[faults]], a crash"
    if not parts <= set(attack_names()):
        return None
    if "non-finite" in parts:
        return "no codec encodes NaN or infinity"
    return "a liar knows no row but its own, and this needs those of others"


def _scaled_difference(scale: float) -> Adversary:
    check_number("adversaries.scale", scale)
    return ScaledDifference(scale)


def _published(name: str, seed: int, index: int, params: Mapping[str, Any]) -> Adversary:
    import torch

    from sim.adversaries.attacks import create_attack
    from sim.adversaries.published import Published

    with _adversary_fields():
        attack = create_attack(name, **params)
    number = int.from_bytes(seed_bytes(seed, f"attack/{index}")[:8], "big")
    return Published(attack, torch.Generator().manual_seed(number))


def _poisoned(name: str, params: Mapping[str, Any]) -> Adversary:
    from sim.adversaries.attacks import create_data_attack
    from sim.adversaries.poisoned import Poisoned

    with _adversary_fields():
        return Poisoned(create_data_attack(name, **params))


@contextmanager
def _adversary_fields() -> Iterator[None]:
    """Name the fields of attacks as a scenario does."""
    try:
        yield
    except ConfigError as error:
        field = "kind" if error.field == "attack" else error.field
        raise ConfigError(f"adversaries.{field}", error.value, error.fix) from error
