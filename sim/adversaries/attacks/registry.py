"""All attacks on vectors, rankings and data by name."""

import re
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Final

from p2pfed.errors import ConfigError
from sim.adversaries.attacks.adaptive import AdaptiveBlend, AdaptiveStep
from sim.adversaries.attacks.alie import LittleIsEnough
from sim.adversaries.attacks.data import (
    Backdoor,
    DataAttack,
    MirrorLabels,
    Relabel,
    ShiftLabels,
    SwapLabels,
)
from sim.adversaries.attacks.dissensus import Dissensus
from sim.adversaries.attacks.fang import FangKrum, FangTrimmedMean
from sim.adversaries.attacks.foreign_trojan import ForeignTrojan
from sim.adversaries.attacks.free_rider import (
    DeltaFreeRider,
    Echo,
    RandomFreeRider,
    Stale,
    StaleCopy,
    StaleOwn,
    Zero,
)
from sim.adversaries.attacks.inner_product import InnerProduct
from sim.adversaries.attacks.mimic import Mimic, MimicVariance
from sim.adversaries.attacks.min_max import MinMax, MinSum
from sim.adversaries.attacks.noise import GaussianNoise, UniformNoise
from sim.adversaries.attacks.non_finite import NonFinite
from sim.adversaries.attacks.optimized import OptimizedInnerProduct, OptimizedLittleIsEnough
from sim.adversaries.attacks.own import OwnAttackMaker
from sim.adversaries.attacks.ranks import EdgeControl, HalfSwap, HalfSwapReverse, ReverseRank
from sim.adversaries.attacks.scaling import ModelReplacement, Scaling
from sim.adversaries.attacks.sign_flip import SignFlip
from sim.adversaries.attacks.sleeper import Sleeper
from sim.adversaries.attacks.sybil import Sybil
from sim.adversaries.attacks.tailored import TailoredMultiKrum, TailoredTrimmedMean
from sim.adversaries.attacks.tampering import RandomRescaling, RandomSigns, ValueInversion
from sim.adversaries.view import Attack

# They read nothing but the own row, the round, the past and the generator.
LOCAL: Final[Mapping[str, Callable[..., Attack]]] = {
    "delta-free-rider": DeltaFreeRider,
    "noise": GaussianNoise,
    "non-finite": NonFinite,
    "random-free-rider": RandomFreeRider,
    "random-rescaling": RandomRescaling,
    "random-signs": RandomSigns,
    "scaling": Scaling,
    "sign-flip": SignFlip,
    "stale": Stale,
    "stale-own": StaleOwn,
    "uniform-noise": UniformNoise,
    "value-inversion": ValueInversion,
    "zero": Zero,
}

# They also read the rows that the target's honest neighborhood publishes.
NEIGHBORHOOD: Final[Mapping[str, Callable[..., Attack]]] = {
    "alie": LittleIsEnough,
    "echo": Echo,
    "fang-krum": FangKrum,
    "fang-trimmed-mean": FangTrimmedMean,
    "foreign-trojan": ForeignTrojan,
    "inner-product": InnerProduct,
    "mimic": Mimic,
    "mimic-variance": MimicVariance,
    "min-max": MinMax,
    "min-sum": MinSum,
    "model-replacement": ModelReplacement,
    "stale-copy": StaleCopy,
    "tailored-multi-krum": TailoredMultiKrum,
    "tailored-trimmed-mean": TailoredTrimmedMean,
}

# They also know the target's mixing weights, or ask its rule.
OMNISCIENT: Final[Mapping[str, Callable[..., Attack]]] = {
    "adaptive-step": AdaptiveStep,
    "dissensus": Dissensus,
    "optimized-alie": OptimizedLittleIsEnough,
    "optimized-inner-product": OptimizedInnerProduct,
}

# What may stand before an attack and a "+"; alone they go before the first of all attacks.
WRAPPERS: Final[Mapping[str, Callable[..., Attack]]] = {
    "adaptive-blend": AdaptiveBlend,
    "sleeper": Sleeper,
    "sybil": Sybil,
}
_WRAPPED: Final = "sign-flip"

# Their rows are rankings.
RANK_ATTACKS: Final[Mapping[str, Callable[..., Attack]]] = {
    "edge-control": EdgeControl,
    "half-swap": HalfSwap,
    "half-swap-reverse": HalfSwapReverse,
    "reverse-rank": ReverseRank,
}

DATA_ATTACKS: Final[Mapping[str, Callable[..., DataAttack]]] = {
    "backdoor": Backdoor,
    "mirror-labels": MirrorLabels,
    "relabel": Relabel,
    "shift-labels": ShiftLabels,
    "swap-labels": SwapLabels,
}

# What runs and scenarios call something else.
RESERVED: Final = (
    "equivocation",
    "garbage",
    "none",
    "replay",
    "scaled-difference",
    "silent",
    "wrong-bytes",
    "wrong-size",
)

_BASES: Final[Mapping[str, Callable[..., Attack]]] = {
    **LOCAL,
    **NEIGHBORHOOD,
    **OMNISCIENT,
    **RANK_ATTACKS,
}

# Functions of the program's own, by the names that it gave them; nothing in here fills it.
_REGISTERED: Final[dict[str, OwnAttackMaker]] = {}
_OWN_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")


def attack_names() -> tuple[str, ...]:
    """List the attacks on vectors, sorted; wrappers and registered ones among them."""
    return tuple(sorted({**LOCAL, **NEIGHBORHOOD, **OMNISCIENT, **WRAPPERS, **_REGISTERED}))


def registered_names() -> tuple[str, ...]:
    """List the attacks that `register_attack` named, sorted."""
    return tuple(sorted(_REGISTERED))


def register_attack(name: str, function: Callable[..., object]) -> None:
    """Give a function of one's own a name that `create_attack` and scenarios know.

    Args:
        name: Small letters, digits and hyphens, beginning with a letter; none that is taken.
        function: Is called as `function(view, **params)` with a `sim.adversaries.view.View`, which
            shows it copies of the rows of this round, and its own parameters, which may have
            defaults. It returns what the liar sends to this target: a tensor of the shape (d,) and
            the type of `view.own`; anything else is an error, and so are changes to rows of earlier
            rounds. In a scenario file the view knows no row but the own one.

    Raises:
        ConfigError: If the name is taken or no name, or the function cannot be called like this. A
            function of the same module and name replaces its earlier definition.
    """
    given: object = name
    if not isinstance(given, str) or not _OWN_NAME.fullmatch(given):
        fix = "write small letters, digits and hyphens, such as 'my-attack'"
        raise ConfigError("attack", name, fix)
    known = _REGISTERED.get(name)
    is_same = known is not None and known.is_newer_of(function)
    if not is_same and name in {*attack_names(), *RANK_ATTACKS, *RESERVED}:
        raise ConfigError("attack", name, "is there already; choose another name")
    _REGISTERED[name] = OwnAttackMaker(name, function)


def rank_attack_names() -> tuple[str, ...]:
    """List the attacks on rankings, sorted."""
    return tuple(sorted(RANK_ATTACKS))


def data_attack_names() -> tuple[str, ...]:
    """List the attacks on training data, sorted."""
    return tuple(sorted(DATA_ATTACKS))


def create_attack(name: str, /, **params: Any) -> Attack:
    """Make an attack on vectors or rankings.

    Args:
        name: One of `attack_names()` or `rank_attack_names()`, behind any number of wrappers, each
            followed by a "+": "sleeper+alie".
        params: The parameters; each part takes those that it has, and its class documents them.

    Returns:
        The attack, a value: equal parameters make equal attacks.

    Raises:
        ConfigError: If the name or a parameter is unknown, missing or out of range.
    """
    *wrappers, base = name.split("+")
    if base in WRAPPERS:
        wrappers, base = [*wrappers, base], _WRAPPED
    known = [*attack_names(), *rank_attack_names()]
    maker = _BASES.get(base) or _REGISTERED.get(base)
    if maker is None or not WRAPPERS.keys() >= set(wrappers):
        raise ConfigError("attack", name, f"write one of {', '.join(known)}")
    twice = next((it for it in wrappers if wrappers.count(it) > 1), None)
    if twice is not None:
        raise ConfigError("attack", name, f"write {twice} once; both would have one parameter")
    makers = [*(WRAPPERS[it] for it in wrappers), maker]
    _check_params(name, makers, params)
    attack = makers[-1](**_accepted(makers[-1], params))
    for wrapper in reversed(makers[:-1]):
        attack = wrapper(attack=attack, **_accepted(wrapper, params))
    return attack


def create_data_attack(name: str, /, **params: Any) -> DataAttack:
    """Make an attack on training data.

    Args:
        name: One of `data_attack_names()`.
        params: The parameters; its class documents them.

    Raises:
        ConfigError: If the name or a parameter is unknown, missing or out of range.
    """
    if name not in DATA_ATTACKS:
        raise ConfigError("attack", name, f"write one of {', '.join(data_attack_names())}")
    _check_params(name, [DATA_ATTACKS[name]], params)
    return DATA_ATTACKS[name](**params)


def _accepted(maker: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key in signature(maker).parameters}


def _check_params(name: str, makers: list[Callable[..., Any]], params: Mapping[str, Any]) -> None:
    fields = [it for maker in makers for it in signature(maker).parameters.values()]
    known = sorted({it.name for it in fields} - {"attack"})
    for key, value in params.items():
        if key not in known:
            raise ConfigError(key, value, f"remove it; {name} takes {', '.join(known) or 'none'}")
    for field in fields:
        if field.default is field.empty and field.name not in {*params, "attack"}:
            raise ConfigError(field.name, None, f"{name} needs it")
