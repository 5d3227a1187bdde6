"""The values as they are."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.construction import Constant
from p2pfed.updates.specification import little_endian


@final
@dataclass(frozen=True, slots=True)
class Float32(Codec):
    """The values as they are: little-endian float32, 4 bytes each, exact."""

    name: ClassVar[str] = "float32"

    @property
    @override
    def contraction_min(self) -> float:
        return 1.0

    @override
    def encoded_bytes_max(self, size: int) -> int:
        return 4 * size

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        return torch.zeros_like(vector)

    @override
    def describe(self) -> dict[str, Constant]:
        return {}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        return little_endian(vector)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, 4 * size)
        # A copy, because the bytes are immutable and in the sender's byte order.
        return torch.from_numpy(np.frombuffer(data, dtype="<f4").astype(np.float32))
