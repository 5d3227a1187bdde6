"""All methods and codecs by name."""

from collections.abc import Mapping
from typing import Final

from p2pfed.errors import ConfigError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import (
    BFloat16,
    Float32,
    Int4,
    Int8,
    RandK,
    Sign,
    Sparse,
    TopK,
    Uniform,
)
from p2pfed.updates.construction import construct, one_of
from p2pfed.updates.method import Method
from p2pfed.updates.methods import (
    AdapterSetMethod,
    Bottleneck,
    FedSb,
    FfaLora,
    Full,
    Head,
    Lora,
    LoraFair,
    LoraRanks,
    Peft,
    Projected,
    Ranks,
    Seeds,
    SparseSumMethod,
    UpdateRanks,
)

METHODS: Final[Mapping[str, type[Method]]] = {
    "adapter-set": AdapterSetMethod,
    "bottleneck": Bottleneck,
    "fed-sb": FedSb,
    "ffa-lora": FfaLora,
    "full": Full,
    "head": Head,
    "lora": Lora,
    "lora-fair": LoraFair,
    "lora-ranks": LoraRanks,
    "peft": Peft,
    "projected": Projected,
    "ranks": Ranks,
    "seeds": Seeds,
    "sparse-sum": SparseSumMethod,
    "update-ranks": UpdateRanks,
}

CODECS: Final[Mapping[str, type[Codec]]] = {
    "bfloat16": BFloat16,
    "float32": Float32,
    "int4": Int4,
    "int8": Int8,
    "rand-k": RandK,
    "sign": Sign,
    "sparse": Sparse,
    "top-k": TopK,
    "uniform": Uniform,
}


def names() -> tuple[str, ...]:
    """List the names that `create` knows, of methods and codecs, sorted."""
    return tuple(sorted([*METHODS, *CODECS]))


def create(name: str, **constants: object) -> Method | Codec:
    """Make a method or a codec; no name is both.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    if name in CODECS:
        return create_codec(name, **constants)
    if name in METHODS:
        return create_method(name, **constants)
    raise ConfigError("update", name, one_of(names(), name))


def create_method(method: str | Method, **constants: object) -> Method:
    """Make a method from its name and constants, or hand back an object.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    return construct(METHODS, method, constants, field="method")


def create_codec(codec: str | Codec, **constants: object) -> Codec:
    """Make a codec from its name and constants, or hand back an object.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    return construct(CODECS, codec, constants, field="codec")
