"""What the sparse codecs have in common: how many values they keep, and as which bytes."""

import math
from collections.abc import Mapping
from typing import Final

from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.bfloat16 import BFloat16
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.updates.codecs.int4 import Int4
from p2pfed.updates.codecs.int8 import Int8
from p2pfed.updates.construction import check_choice, check_number

VALUE_CODECS: Final[Mapping[str, Codec]] = {
    "bfloat16": BFloat16(),
    "float32": Float32(),
    "int4": Int4(),
    "int8": Int8(),
}


def check_constants(density: float, values: str) -> None:
    """Refuse constants that the sparse codecs do not know.

    Raises:
        ConfigError: If one is out of range.
    """
    if density != 1 or isinstance(density, bool):
        check_number(density, "codec.density", above=0, below=1)
    check_choice(values, "codec.values", tuple(VALUE_CODECS))


def kept_count(size: int, density: float) -> int:
    """Return how many of `size` values are kept: the density times them, rounded up."""
    return min(size, math.ceil(size * density))
