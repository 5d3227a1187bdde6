"""What the liars of a run do: nothing, silence, lies about their rows, lies in their data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from torch import Tensor

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples
from p2pfed.learn.task import Task
from robust.parameters import meant
from sim.adversaries.attacks import (
    attack_names,
    create_attack,
    create_data_attack,
    data_attack_names,
)
from sim.adversaries.attacks.data import Backdoor, DataAttack
from sim.adversaries.attacks.own import OwnAttack
from sim.adversaries.poisoned import poisoned
from sim.adversaries.registry import ADVERSARIES
from sim.adversaries.scaled_difference import SCALE
from sim.adversaries.view import Attack
from sim.rounds.model import Model

NONE: Final = "none"
SILENT: Final = "silent"
SCALED_DIFFERENCE: Final = "scaled-difference"

# All liars of a target send it the same vector: they follow from the target alone, or reckon with
# its answer to so many equal rows. Asking for it once per target saves most of their time.
_AGREED: Final = frozenset(
    {
        "adaptive-blend",
        "adaptive-step",
        "alie",
        "dissensus",
        "fang-krum",
        "inner-product",
        "min-max",
        "min-sum",
        "optimized-alie",
        "optimized-inner-product",
        "tailored-multi-krum",
        "tailored-trimmed-mean",
        "zero",
    }
)

# One row goes from a liar to all its targets: it follows from what the liar itself learned.
_COMMON: Final = frozenset({"scaling", "sign-flip", "sleeper", "stale-own", "zero"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Threat:
    """What the liars of a run do.

    Attributes:
        attack: Makes the rows that they send; None sends what they learned.
        is_agreed: Whether one row goes from all of them to one target.
        is_common: Whether one row goes from each of them to all targets.
        is_silent: Whether they send nothing at all.
        data_attack: Makes what they train on; None leaves it as it is.
    """

    attack: Attack | None
    is_agreed: bool
    is_common: bool
    is_silent: bool
    data_attack: DataAttack | None

    def poison(self, task: Task) -> Task:
        """Return a liar's task with the rows that it trains on.

        Raises:
            ConfigError: If the task's inputs are not one tensor, or the attack makes labels that
                are none of the task's.
            LocalError: If the attack does not fit the inputs.
        """
        if self.data_attack is None:
            return task
        return poisoned(task, self.data_attack, field="rounds.data_attack")

    def success(self, model: Model, vectors: Tensor, rows: Examples) -> float | None:
        """Return which share of triggered rows of other classes is taken for the liars' class.

        Args:
            model: What a vector means.
            vectors: Of the honest peers, shape (h, d).
            rows: Clean ones.

        Returns:
            The mean over the vectors; None without a trigger.
        """
        if not isinstance(self.data_attack, Backdoor) or not isinstance(rows.inputs, Tensor):
            return None
        others = rows.labels != self.data_attack.target
        triggered = self.data_attack.stamped(rows.inputs[others])
        hits = [
            (model.classes(vector, triggered) == self.data_attack.target).double().mean()
            for vector in vectors
        ]
        return float(torch.stack(hits).mean())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What one liar does, as it is asked for; see the fields of `RoundsConfig` of these names."""

    attack: str | Attack = NONE
    attack_params: Mapping[str, Any] = field(default_factory=dict)
    data_attack: str | None = None
    data_params: Mapping[str, Any] = field(default_factory=dict)

    def threat(self) -> Threat:
        """Make what the liar does.

        Raises:
            ConfigError: If a name or a parameter cannot be used.
        """
        return find_threat(self.attack, self.attack_params, self.data_attack, self.data_params)

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        return {
            "attack": {"name": attack_name(self.attack), **self.attack_params},
            "data_attack": self.data_attack and {"name": self.data_attack, **self.data_params},
        }


def lie_of_kind(kind: str, params: Mapping[str, Any]) -> Lie:
    """Return what a liar does that a scenario names by one word.

    Args:
        kind: `silent`, `scaled-difference`, an attack on vectors or one on data.
        params: Its own parameters.

    Raises:
        ConfigError: If the name or a parameter cannot be used; fields are `adversaries.kind` and
            `adversaries.` with the name of a parameter.
    """
    data_names = data_attack_names()
    known = sorted([*attack_names(), *data_names, SCALED_DIFFERENCE, SILENT])
    if not set(kind.split("+")) <= set(known):
        fix = f"write one of {', '.join(known)}{meant(kind, known)}"
        if kind in ADVERSARIES:
            fix = f'in rounds there are no frames; write fidelity = "messages", or {fix}'
        raise ConfigError("adversaries.kind", kind, fix)
    if kind in data_names:
        lie = Lie(data_attack=kind, data_params=params)
    elif kind == SCALED_DIFFERENCE:
        lie = Lie(attack="scaling", attack_params={"scale": SCALE, **params})
    else:
        lie = Lie(attack=kind, attack_params=params)
    try:
        lie.threat()
    except ConfigError as error:
        *_, name = error.field.split(".")
        field = "kind" if name == "attack" else name
        raise ConfigError(f"adversaries.{field}", error.value, error.fix) from error
    return lie


def threats_of(lies: Mapping[int, Lie]) -> dict[int, Threat]:
    """Return what each liar does, by number; equal lies are one threat, in which liars may agree.

    Raises:
        ConfigError: If a name or a parameter cannot be used.
    """
    made: list[tuple[Lie, Threat]] = []
    found = {}
    for number, lie in sorted(lies.items()):
        threat = next((it for other, it in made if other == lie), None)
        if threat is None:
            threat = lie.threat()
            made.append((lie, threat))
        found[number] = threat
    return found


def attack_name(attack: str | Attack) -> str:
    """Return what to call an attack in a result: a function has its own name."""
    if isinstance(attack, str):
        return attack
    return getattr(attack, "__name__", type(attack).__name__)


def find_threat(
    attack: str | Attack,
    params: Mapping[str, Any],
    data_attack: str | None,
    data_params: Mapping[str, Any],
) -> Threat:
    """Make what the liars do.

    Args:
        attack: "none", "silent", what `create_attack` knows, or a function.
        params: Of the attack.
        data_attack: What `create_data_attack` knows, or None.
        data_params: Of the data attack.

    Raises:
        ConfigError: If a name or a parameter is unknown, missing or out of range.
    """
    if not isinstance(attack, str) and not callable(attack):
        fix = "write a name of sim.adversaries.attacks.attack_names(), or give a function of a View"
        raise ConfigError("rounds.attack", attack, fix)
    behaves = attack in (NONE, SILENT)
    is_named = isinstance(attack, str) and not behaves
    if params and not is_named:
        fix = f"remove them; {attack_name(attack)} has none"
        raise ConfigError("rounds.attack_params", dict(params), fix)
    if data_attack is None and data_params:
        raise ConfigError("rounds.data_params", dict(data_params), "name a data_attack")
    if isinstance(attack, str):
        made = None if behaves else create_attack(attack, **params)
    else:
        made = OwnAttack(name=attack_name(attack), function=attack)
    parts = attack.split("+") if isinstance(attack, str) else [""]
    return Threat(
        attack=made,
        is_agreed=_AGREED.issuperset(parts),
        is_common=_COMMON.issuperset(parts) and params.get("of", "own") == "own",
        is_silent=attack == SILENT,
        data_attack=None if data_attack is None else create_data_attack(data_attack, **data_params),
    )
