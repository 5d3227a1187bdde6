"""What a scenario may say with `fidelity = "rounds"`: what else it says, nothing would heed."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.learn.device import CPU
from p2pfed.updates.registry import METHODS
from sim.edge_checks import FILE, said_of_links
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
        ConfigError: Of the first such field, naming all others.
    """
    found = [*_in_world(world), *_in_run(config)]
    if not found:
        return
    first, *others = found
    more = "; ".join(f"{it.field}: {it.fix}" for it in others)
    fix = f"{first.fix}, {_OR_MESSAGES}"
    raise ConfigError(first.field, first.value, f"{fix}; beside it {more}" if more else fix)


def _in_world(world: Surrounding) -> Iterator[ConfigError]:
    topology = world.topology
    if topology.relays:
        fix = "leave it out; in rounds all train"
        yield ConfigError("topology.relays", topology.relays, fix)
    said = said_of_links(topology.create(seed=0).graph) if topology.name == FILE else []
    if said:
        fix = f"leave {', '.join(said)} out of its edges; rounds take no time"
        yield ConfigError("topology.path", topology.params["path"], fix)
    for name in ("devices", "availability", "variants", "faults"):
        tables = [table.model_dump(exclude_unset=True) for table in getattr(world, name)]
        if tables:
            fix = "leave it out; in rounds all peers are alike and there"
            yield ConfigError(name, tables, fix)
    for table, own, usual in (
        ("network", world.network, NetworkTable()),
        ("compute", world.compute, ComputeTable()),
    ):
        for field, value in _changed(own, usual):
            if (table, field) != _HOW_JOBS_ARE_COMPUTED:
                fix = "leave it out; rounds take no time"
                yield ConfigError(f"{table}.{field}", value, fix)


def _in_run(config: RunConfig) -> Iterator[ConfigError]:
    if config.schedule.mode != "synchronous":
        fix = "write synchronous; peers that play in rounds are in step"
        yield ConfigError("schedule.mode", config.schedule.mode, fix)
    if config.schedule.rounds_max == 0:
        yield ConfigError("schedule.rounds_max", 0, "write how many rounds")
    method = METHODS.get(config.method.name)
    if method is not None and method.is_ledger:
        fix = "write a method whose peers send vectors, such as full"
        yield ConfigError("method.name", config.method.name, fix)
    if config.training.device not in ("auto", CPU.type):
        yield ConfigError("training.device", config.training.device, f"write {CPU.type}")
    usual = RunConfig()
    for field, fix in _DEFAULT_ONLY.items():
        table, name = field.split(".")
        value = getattr(getattr(config, table), name)
        if value != getattr(getattr(usual, table), name):
            yield ConfigError(field, value, fix)


def _changed(table: BaseModel, usual: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a table that differ from their defaults."""
    for name in type(table).model_fields:
        value = getattr(table, name)
        if value != getattr(usual, name):
            yield name, value
