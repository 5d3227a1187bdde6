"""Bytes as tensors, among the other tensors of a saved state."""

import numpy as np
import torch
from torch import Tensor


def from_bytes(data: bytes) -> Tensor:
    """Return bytes as a tensor, uint8."""
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def to_bytes(tensor: Tensor) -> bytes:
    """Return the bytes that `from_bytes` was given.

    Raises:
        ValueError: If the tensor is not of bytes; the caller knows what they should have been.
    """
    if tensor.dtype != torch.uint8:
        raise ValueError(f"{tensor.dtype} where bytes should be")
    return tensor.numpy().tobytes()
