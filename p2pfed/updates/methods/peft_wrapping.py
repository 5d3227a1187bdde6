"""What the methods on top of peft have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from p2pfed.errors import ConfigError


def wrap(model: nn.Module, configuration: Any, *, targets: tuple[str, ...], fix: str) -> nn.Module:
    """Let peft add its adapter to a model.

    Args:
        model: Changed in place.
        configuration: A `peft.PeftConfig`.
        targets: The method's constant, for the error.
        fix: What to say where peft refuses them; empty: what peft says.

    Raises:
        ConfigError: If peft finds no layer of these names, or none that it can adapt.
    """
    from peft import get_peft_model  # seconds to import, and only here needed

    with global_generator_kept():
        try:
            wrapped: nn.Module = get_peft_model(model, configuration)
        except ValueError as error:
            raise ConfigError("method.targets", targets, fix or str(error)) from error
    return wrapped


def trained_names(wrapped: nn.Module) -> dict[str, str]:
    """Map each parameter that trains from peft's name to the one in the specification."""
    return {
        name: plain_name(name)
        for name, parameter in wrapped.named_parameters()
        if parameter.requires_grad
    }


def plain_name(name: str) -> str:
    """Return a parameter's name without what peft adds: the same as before wrapping for heads."""
    plain = name.removeprefix("base_model.model.")
    plain = plain.replace(".modules_to_save.default.", ".").replace(".default.", ".")
    return plain.removesuffix(".default")


@contextmanager
def global_generator_kept() -> Iterator[None]:
    """Undo the draws of a library that knows only torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        yield
