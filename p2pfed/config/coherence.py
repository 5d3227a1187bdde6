"""What fields of a run file are to each other: none without effect, and no bounds that cross."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, final

from p2pfed.config.model import (
    LossGateTable,
    ParticipationTable,
    PrioritizerTable,
    PrivacyTable,
    RunConfig,
)
from p2pfed.errors import ConfigError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What a field switches, and what nothing heeds while it is off.

    Attributes:
        switch: The field.
        off: Its values that switch the part off.
        on: What to set to have the part.
        fields: Those that have no effect without it.
        is_promise: Whether a default that somebody wrote counts, where nothing is said of the
            switch: who writes one believes that the part is on.
    """

    switch: str
    off: tuple[Any, ...]
    on: str
    fields: tuple[str, ...]
    is_promise: bool = False


def _others(table: str, model: type[Any], switch: str) -> tuple[str, ...]:
    return tuple(f"{table}.{name}" for name in model.model_fields if name != switch)


def _enabled(table: str, fields: tuple[str, ...], *, is_promise: bool = False) -> _Part:
    switch = f"{table}.enabled"
    return _Part(
        switch=switch, off=(False,), on=f"{switch} = true", fields=fields, is_promise=is_promise
    )


# A part that builds on another one comes behind it.
_PARTS: Final = (
    _enabled("privacy", _others("privacy", PrivacyTable, "enabled"), is_promise=True),
    _enabled(
        "integration.prioritizer",
        _others("integration.prioritizer", PrioritizerTable, "enabled"),
    ),
    _enabled(
        "reputation",
        (
            "reputation.policy",
            "reputation.groups",
            "reputation.quotas",
            "reputation.loss_gate.enabled",
        ),
    ),
    _enabled("reputation.loss_gate", _others("reputation.loss_gate", LossGateTable, "enabled")),
    _Part(
        switch="participation.weights",
        off=("alike",),
        on="participation.weights = fedau or fedfix",
        fields=_others("participation", ParticipationTable, "weights"),
    ),
    _Part(
        switch="schedule.integrate",
        off=("after-training", "arrivals"),
        on="schedule.integrate = window",
        fields=("schedule.window_s",),
    ),
    _Part(
        switch="schedule.integrate",
        off=("after-training", "window"),
        on="schedule.integrate = arrivals",
        fields=("schedule.arrivals",),
    ),
    _Part(
        switch="schedule.evaluate_every_rounds",
        off=(0,),
        on="schedule.evaluate_every_rounds = 1 or more",
        fields=("schedule.plateau_evaluations", "schedule.test_every_rounds"),
    ),
    _Part(
        switch="schedule.plateau_evaluations",
        off=(None,),
        on="schedule.plateau_evaluations",
        fields=("schedule.plateau_delta",),
    ),
)


def check_coherence(config: RunConfig) -> None:
    """Refuse values that have no effect, and bounds that cross.

    Raises:
        ConfigError: Naming the first such field.
    """
    check_bounds(config)
    for idle in idle_fields(config):
        raise idle


def idle_fields(config: RunConfig) -> Iterator[ConfigError]:
    """Yield what is wrong with each value that has no effect and is another than the default."""
    usual = RunConfig()
    for part in _PARTS:
        if value_at(config, part.switch) not in part.off:
            continue
        for field in part.fields:
            value = value_at(config, field)
            if value != value_at(usual, field) or (part.is_promise and _is_meant(config, field)):
                yield without_effect(field, value, part.on)


def without_effect(field: str, value: Any, on: str) -> ConfigError:
    """Return that a value has no effect without something else.

    Args:
        field: Dotted name of the value's field.
        value: The value.
        on: What to set, too.
    """
    fix = f"set {on} as well, or remove it; it has no effect without"
    return ConfigError(field, value, fix)


def value_at(config: RunConfig, field: str) -> Any:
    """Return the value of a field of a run file by its dotted name."""
    return reduce(getattr, field.split("."), config)


def _is_meant(config: RunConfig, field: str) -> bool:
    """Return whether a table says a field, and not whether it is on.

    A run file of `p2pfed init` has every field: there only another value than the default shows
    what somebody wants.
    """
    table, _, name = field.rpartition(".")
    written = value_at(config, table).model_fields_set
    return name in written and "enabled" not in written


def check_bounds(config: RunConfig) -> None:
    """Refuse a least value above the largest, and less patience than there are heartbeats.

    Raises:
        ConfigError: Naming the field that is not as by default, the first of two.
    """
    table, usual = config.membership, RunConfig().membership
    for low, high in (("redial_s_min", "redial_s_max"), ("ban_s", "ban_s_max")):
        least, most = getattr(table, low), getattr(table, high)
        if least <= most:
            continue
        if least == getattr(usual, low):
            fix = f"write at least {low} = {least:g}, or lower that, too"
            raise ConfigError(f"membership.{high}", most, fix)
        fix = f"write at most {high} = {most:g}, or raise that, too"
        raise ConfigError(f"membership.{low}", least, fix)
    beat_s, silence_s = table.heartbeat_s, table.suspicion_s
    if silence_s > beat_s:
        return
    if silence_s == usual.suspicion_s:
        fix = f"write less than suspicion_s = {silence_s:g}, or raise that; live neighbors are lost"
        raise ConfigError("membership.heartbeat_s", beat_s, fix)
    fix = f"write more than heartbeat_s = {beat_s:g}, or lower that; live neighbors are lost else"
    raise ConfigError("membership.suspicion_s", silence_s, fix)
