"""What a scenario says without any effect: nobody drawn or honest, nothing that comes in time."""

import math

from p2pfed.errors import ConfigError
from sim.tables import ClogTable, Surrounding


def check_effects(world: Surrounding) -> None:
    """Refuse shares that draw nobody, worlds without honest training, and faults after the end.

    Raises:
        ConfigError: Naming the first such field.
    """
    _check_drawn(world)
    _check_some_train(world)
    for k, fault in enumerate(world.faults):
        if fault.at_s > world.until_s:
            fix = f"all ends at until_s = {world.until_s:g}; write less, or a later end"
            raise ConfigError(f"faults.{k}.at_s", fault.at_s, fix)


def check_presences(world: Surrounding) -> None:
    """Refuse what is no availability, and tables none of whose peers comes in time.

    A trace may go on after the end.

    Raises:
        ConfigError: Naming the first such table.
    """
    for k, (table, presences) in enumerate(world.presences()):
        first_s = min(it.from_s for it in presences)
        if first_s < world.until_s:
            continue
        end = f"all ends at until_s = {world.until_s:g}"
        if table.path is None:
            fix = f"{end}; write less, or a later end"
            raise ConfigError(f"availability.{k}.from_s", first_s, fix)
        fix = f"begins at {first_s:g} s, and {end}; name another trace, or write a later end"
        raise ConfigError(f"availability.{k}.path", table.path, fix)


def check_links(world: Surrounding, *, seed: int) -> None:
    """Refuse clogged links between peers that are no neighbors.

    Args:
        world: The scenario's.
        seed: Of the simulation, on which the graph may depend.

    Raises:
        ConfigError: Naming the first such link.
    """
    clogs = [(k, it) for k, it in enumerate(world.faults) if isinstance(it, ClogTable)]
    graph = world.topology.create(seed=seed).graph if clogs else None
    for k, fault in clogs:
        for place, (sender, receiver) in enumerate(fault.links):
            assert graph is not None
            if not graph.has_edge(sender, receiver):
                near = sorted(graph[sender])
                fix = f"is no edge of the graph; peer {sender} has the neighbors {near}"
                raise ConfigError(f"faults.{k}.links.{place}", [sender, receiver], fix)


def _check_drawn(world: Surrounding) -> None:
    nodes = world.topology.nodes
    named = {peer for device in world.devices for peer in device.peers or []}
    kinds = (
        ("adversaries", [it.share for it in world.adversaries], nodes),
        ("devices", [it.share for it in world.devices], nodes - len(named)),
    )
    for table, shares, count in kinds:
        for k, share in enumerate(shares):
            if share is not None and round(share * count) == 0:
                least = math.floor(0.5 / share) + 1  # round(0.5) is 0
                fix = f"draws none of {count} peers; write more, or have {least} peers or more"
                raise ConfigError(f"{table}.{k}.share", share, fix)


def _check_some_train(world: Surrounding) -> None:
    nodes, relays = world.topology.nodes, world.topology.relays
    if len(relays) == nodes:
        raise ConfigError("topology.relays", relays, "let at least one peer train")
    if len(world.liars(seed=0)) == nodes:
        fix = "leave at least one honest peer; there is nothing to measure else"
        raise ConfigError("adversaries", nodes, fix)
