"""What a scenario may say with `fidelity = "rounds"`: what else it says, nothing would heed."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.learn.device import CPU
from p2pfed.updates.registry import METHODS
from sim.tables import ComputeTable, NetworkTable, Surrounding

ROUNDS: Final = "rounds"
_HOW_JOBS_ARE_COMPUTED: Final = ("compute", "jobs")
_OR_MESSAGES: Final = 'or fidelity = "messages"'

# Fields that must be as they are by default -> what to write instead. Those that bound how long
# something may take are not here: in rounds nothing takes time, so that no bound is reached.
_DEFAULT_ONLY: Final = {
    "admission.rule": "write open",
    "training.dtype": "write float32",
    "privacy.enabled": "write false",
    "outer.name": "write none",
    "integration.degree_max": "leave it out; in rounds the graph is known",
    "participation.weights": "write alike; in rounds all rows are there",
    "reputation.groups": "write none; in rounds peers have no addresses",
    "reputation.quotas": "write false; in rounds all are served alike",
    "schedule.integrate": "leave it out",
    "schedule.recipients": "leave it out; write topology.name = epidemic",
    "schedule.time_s_max": "leave it out; rounds take no time",
    "schedule.plateau_evaluations": "leave it out; in rounds all peers end together",
    "limits.neighbors_max": "leave it out; rounds have no such limit",
    "limits.payload_bytes_max": "leave it out; rounds have no such limit",
    "limits.payload_store_bytes_max": "leave it out; rounds have no such limit",
}


def check_scope(world: Surrounding, config: RunConfig) -> None:
    """Refuse what rounds do not have.

    Raises:
        ConfigError: Naming the first such field.
    """
    _check_world(world)
    _check_run(config)


def _check_world(world: Surrounding) -> None:
    topology = world.topology
    _refuse("topology.relays", topology.relays or None, "leave it out; in rounds all train")
    for name in ("devices", "availability", "variants", "faults"):
        tables = [table.model_dump(exclude_unset=True) for table in getattr(world, name)]
        _refuse(name, tables or None, "leave it out; in rounds all peers are alike and there")
    for table, own, usual in (
        ("network", world.network, NetworkTable()),
        ("compute", world.compute, ComputeTable()),
    ):
        for field, value in _changed(own, usual):
            if (table, field) == _HOW_JOBS_ARE_COMPUTED:
                continue
            _refuse(f"{table}.{field}", value, "leave it out; rounds take no time")


def _check_run(config: RunConfig) -> None:
    if config.schedule.mode != "synchronous":
        fix = f"write synchronous, {_OR_MESSAGES}: peers that play in rounds are in step"
        raise ConfigError("schedule.mode", config.schedule.mode, fix)
    if config.schedule.rounds_max == 0:
        raise ConfigError("schedule.rounds_max", 0, f"write how many rounds, {_OR_MESSAGES}")
    method = METHODS.get(config.method.name)
    if method is not None and method.is_ledger:
        fix = f"write a method whose peers send vectors, such as full, {_OR_MESSAGES}"
        raise ConfigError("method.name", config.method.name, fix)
    if config.training.device not in ("auto", CPU.type):
        raise ConfigError(
            "training.device", config.training.device, f"write {CPU.type}, {_OR_MESSAGES}"
        )
    usual = RunConfig()
    for field, fix in _DEFAULT_ONLY.items():
        table, name = field.split(".")
        value = getattr(getattr(config, table), name)
        if value != getattr(getattr(usual, table), name):
            _refuse(field, value, fix)


def _changed(table: BaseModel, usual: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a table that differ from their defaults."""
    for name in type(table).model_fields:
        value = getattr(table, name)
        if value != getattr(usual, name):
            yield name, value


def _refuse(field: str, value: Any, fix: str) -> None:
    if value is not None:
        raise ConfigError(field, value, f"{fix}, {_OR_MESSAGES}")
