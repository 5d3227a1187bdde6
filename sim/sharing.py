"""One copy of what is frozen for all simulated peers: a pretrained model is not held per peer."""

import torch
from torch import nn


def share_frozen(model: nn.Module, original: nn.Module) -> None:
    """Let the frozen parameters of a model be those of another, as far as they have equal values.

    Nothing that a run does writes to a frozen parameter, so that no result changes. Buffers stay
    apart: normalization layers write to theirs.

    Args:
        model: Changed in place.
        original: Of the same architecture; keeps its memory.
    """
    known = {
        name: parameter.data
        for name, parameter in original.named_parameters()
        if not parameter.requires_grad
    }
    for name, parameter in model.named_parameters():
        found = known.get(name)
        if parameter.requires_grad or found is None:
            continue
        is_same_kind = found.dtype == parameter.dtype and found.device == parameter.device
        if is_same_kind and torch.equal(found, parameter.data):
            parameter.data = found
