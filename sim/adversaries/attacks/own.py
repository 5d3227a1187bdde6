"""Attacks that are functions of one's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from typing import Any, final

import torch
from torch import Tensor

from p2pfed.errors import ConfigError, P2PFedError
from robust.own_code import failure_of
from robust.parameters import shown
from sim.adversaries.view import View


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnAttack:
    """A function of one's own, whose mistakes are told from a defense that works.

    What it is shown of this round, and what it returns, are copies: whatever it writes to its
    tensors, the simulation's own stay as they are. Earlier rounds are too many to copy and are
    the liars' alone; they must not be changed.

    Args:
        name: What errors call it.
        function: Of a `View` and its parameters; returns what the liar sends, shape (d,), of the
            type of `View.own`.
        params: Its parameters.
    """

    name: str
    function: Callable[..., object]
    params: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, view: View) -> Tensor:
        """Return what the function returned.

        Raises:
            ConfigError: If it failed, changed what it was shown of earlier rounds, or returned no
                row that a peer could send here: honest peers would turn it away, and the run would
                look like a successful defense.
        """
        past = _past(view)
        versions = [row._version for row in past]  # torch counts in-place changes by it
        returned = self._returned(_with_copies(view))
        if [row._version for row in past] != versions:
            fix = "it changed a row of an earlier round; let it change a copy, row.clone()"
            raise ConfigError("attack", self.name, fix)
        return self._checked(returned, view.own)

    def _checked(self, lie: object, own: Tensor) -> Tensor:
        wanted = f"shape {tuple(own.shape)} and {own.dtype}, as view.own is"
        if not isinstance(lie, Tensor):
            fix = f"it returned {shown(lie)}; let it return a tensor of {wanted}"
            raise ConfigError("attack", self.name, fix)
        if lie.shape != own.shape or lie.dtype != own.dtype:
            found = f"shape {tuple(lie.shape)} and {lie.dtype}"
            raise ConfigError("attack", self.name, f"it returned {found}; let it return {wanted}")
        if bool(torch.isfinite(own).all()) and not bool(torch.isfinite(lie).all()):
            fix = "it returned NaN or infinity, which no codec encodes; let it return finite values"
            raise ConfigError("attack", self.name, fix)
        return lie.detach().clone()  # it may fill the same tensor for every target

    def _returned(self, view: View) -> object:
        try:
            return self.function(view, **self.params)
        except P2PFedError:  # such as of an attack that this one uses
            raise
        except Exception as error:  # the edge to the user's own code, which may fail in any way
            raise ConfigError("attack", self.name, f"mend {failure_of(error)}") from error


def _with_copies(view: View) -> View:
    """Return a view whose rows of this round are nobody else's memory."""
    return replace(
        view,
        honest=view.honest.clone(),
        honest_before=view.honest_before.clone(),
        own=view.own.clone(),
        honest_weights=view.honest_weights.clone(),
    )


def _past(view: View) -> list[Tensor]:
    """Return all rows of earlier rounds."""
    earlier = (row for rows in view.honest_history for row in rows)
    return [*view.history, *view.own_history, *earlier]


@final
class OwnAttackMaker:
    """Makes a registered attack, with the parameters that its function has.

    Args:
        name: The attack's.
        function: As of `OwnAttack`.

    Raises:
        ConfigError: If it cannot be called with a view and parameters by name.
    """

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self.name = name
        self.function = function
        given: object = function
        by_name = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        found = list(inspect.signature(given).parameters.values()) if callable(given) else []
        takes_view = found and found[0].kind is Parameter.POSITIONAL_OR_KEYWORD
        if not takes_view or any(it.kind not in by_name for it in found):
            fix = "give a function of a View that may have parameters by name: (view, scale=3.0)"
            raise ConfigError("attack", name, fix)
        # What `create_attack` checks parameters against.
        self.__signature__ = Signature(
            [it.replace(kind=Parameter.KEYWORD_ONLY) for it in found[1:]]
        )

    def __call__(self, **params: Any) -> OwnAttack:
        """Make the attack."""
        return OwnAttack(name=self.name, function=self.function, params=params)

    def is_newer_of(self, function: Callable[..., object]) -> bool:
        """Tell whether a function is this one, or the same one defined again."""
        names = [
            (getattr(it, "__module__", None), getattr(it, "__qualname__", ""))
            for it in (self.function, function)
        ]
        return function is self.function or (names[0] == names[1] and "<lambda>" not in names[0][1])
