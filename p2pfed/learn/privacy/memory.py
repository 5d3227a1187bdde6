"""What a model must not do where rows are private: keep something of them that no noise hides."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from p2pfed.errors import ConfigError, LocalError
from p2pfed.updates.method import has_statistics


def check_no_statistics(model: nn.Module) -> None:
    """Refuse a model whose normalization layers measure rows while they train.

    Raises:
        ConfigError: If there is such a layer.
    """
    for name, module in model.named_modules():
        if has_statistics(module) and any(p.requires_grad for p in module.parameters()):
            fix = (
                f"layer {name or 'of the model'} keeps running statistics of private rows, which "
                "no noise hides; use GroupNorm or LayerNorm, freeze it, or set it to false"
            )
            raise ConfigError("privacy.enabled", True, fix)


@contextmanager
def without_memory(model: nn.Module) -> Iterator[None]:
    """See that a model remembers nothing of what it is called with.

    Raises:
        LocalError: If the block left its buffers changed.
    """
    before = _versions(model)
    yield
    if _versions(model) != before:
        raise LocalError(
            "the model changes its buffers when it is called, which no noise hides; use "
            "layers without such a memory, or set privacy.enabled = false"
        )


def _versions(model: nn.Module) -> list[int]:
    # Torch counts writes into a tensor.
    return [buffer._version for buffer in model.buffers()]
