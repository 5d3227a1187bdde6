"""Parameters that lie one behind the other in memory: to read or write them all is one copy."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pack(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> Tensor | None:
    """Move parameters into one vector, which is theirs from then on.

    Args:
        model: Whose they are.
        parameters: Some of its parameters, in the order in which they are to lie.

    Returns:
        The vector, shape (d,); None if nothing was moved, because a parameter is not on the CPU,
        not float32 or not contiguous, or shares its memory with another tensor of the model.
    """
    tensors = (*model.parameters(), *model.buffers())
    users = Counter(_place(tensor) for tensor in tensors if tensor.layout == torch.strided)
    for parameter in parameters.values():
        is_plain = parameter.dtype == torch.float32 and parameter.is_contiguous()
        # An accelerator reads parameters fastest from addresses that it chose.
        if not (is_plain and parameter.is_cpu and users[_place(parameter)] == 1):
            return None
    packed = torch.cat([parameter.detach().view(-1) for parameter in parameters.values()])
    pieces = packed.split([parameter.numel() for parameter in parameters.values()])
    for parameter, piece in zip(parameters.values(), pieces, strict=True):
        parameter.data = piece.view(parameter.shape)
    return packed


def are_packed(parameters: Mapping[str, nn.Parameter], packed: Tensor) -> bool:
    """Tell whether parameters still lie where `pack` moved them, and nobody moved them since."""
    place = packed.data_ptr()
    for parameter in parameters.values():
        is_there = parameter.data_ptr() == place and parameter.dtype == packed.dtype
        if not (is_there and parameter.is_contiguous()):
            return False
        place += parameter.nbytes
    return True


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
