"""The payload codecs, one module each; docs/codecs.md compares them."""

from p2pfed.updates.codecs.bfloat16 import BFloat16
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.updates.codecs.int4 import Int4
from p2pfed.updates.codecs.int8 import Int8
from p2pfed.updates.codecs.rand_k import RandK
from p2pfed.updates.codecs.sign import Sign
from p2pfed.updates.codecs.sparse import Sparse
from p2pfed.updates.codecs.top_k import TopK
from p2pfed.updates.codecs.uniform import Uniform

__all__ = ["BFloat16", "Float32", "Int4", "Int8", "RandK", "Sign", "Sparse", "TopK", "Uniform"]
