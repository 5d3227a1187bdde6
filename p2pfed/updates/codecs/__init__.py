"""The payload codecs, one module each; docs/updates.md compares them."""

from p2pfed.updates.codecs.bfloat16 import BFloat16
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.updates.codecs.int8 import Int8

__all__ = ["BFloat16", "Float32", "Int8"]
