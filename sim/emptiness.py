"""What a scenario says without any effect: nobody drawn or honest, nothing that comes in time."""

import math
from collections.abc import Iterator, Mapping

from p2pfed.config.coherence import without_effect
from p2pfed.errors import ConfigError
from sim.availability import absences, starts_s
from sim.lots import counts_of
from sim.tables import (
    ChurnTable,
    ClogTable,
    HealTable,
    NetworkTable,
    PartitionTable,
    Surrounding,
)


def check_effects(world: Surrounding) -> None:
    """Refuse shares that draw nobody, worlds without honest training, and faults that do nothing.

    Raises:
        ConfigError: Naming the first such field.
    """
    _check_drawn(world)
    _check_some_train(world)
    _check_ends(world)
    _check_partitions(world)


def check_presences(world: Surrounding) -> None:
    """Refuse what is no availability, and peers that never come before the end.

    A trace may go on after the end.

    Raises:
        ConfigError: Naming the first such table.
    """
    for k, (table, presences) in enumerate(world.presences()):
        begin_s = starts_s(absences(presences, silent=table.silent))
        late_s = {peer: from_s for peer, from_s in begin_s.items() if from_s >= world.until_s}
        if not late_s:
            continue
        end = f"all ends at until_s = {world.until_s:g}"
        if table.path is None:
            fix = f"{end}; write less, or a later end"
            raise ConfigError(f"availability.{k}.from_s", table.from_s, fix)
        peer, from_s = next(iter(late_s.items()))
        said = f"peer {peer} comes at {from_s:g} s"
        if late_s.keys() == {it.peer for it in presences}:
            said = f"begins at {min(late_s.values()):g} s"
        fix = f"{said}, and {end}; name another trace, or write a later end"
        raise ConfigError(f"availability.{k}.path", table.path, fix)


def idle_of_network(table: NetworkTable) -> Iterator[ConfigError]:
    """Yield what is wrong with each field that says how delays spread where they do not."""
    if table.latency_distribution != "constant":
        return
    usual = NetworkTable()
    spread = "network.latency_distribution = uniform or lognormal"
    if table.latency_spread_ratio not in (0.0, usual.latency_spread_ratio):
        ratio = table.latency_spread_ratio
        yield without_effect("network.latency_spread_ratio", ratio, spread)
    if table.latency_drawn != usual.latency_drawn:
        yield without_effect("network.latency_drawn", table.latency_drawn, spread)


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


def _check_ends(world: Surrounding) -> None:
    fix = f"all ends at until_s = {world.until_s:g}; write less, or a later end"
    for k, fault in enumerate(world.faults):
        if fault.at_s > world.until_s:
            raise ConfigError(f"faults.{k}.at_s", fault.at_s, fix)
        if isinstance(fault, ChurnTable) and fault.until_s > world.until_s:
            raise ConfigError(f"faults.{k}.until_s", fault.until_s, fix)


def _check_partitions(world: Surrounding) -> None:
    is_parted = False
    # In the order in which they happen: of faults of one time, first what stands first.
    for k, fault in sorted(enumerate(world.faults), key=lambda entry: entry[1].at_s):
        if isinstance(fault, PartitionTable):
            is_parted = True
            if max(map(len, fault.groups)) == world.topology.nodes:
                fix = "one group of all peers parts nobody; leave some out, or write two groups"
                raise ConfigError(f"faults.{k}.groups", fault.groups, fix)
        elif isinstance(fault, HealTable):
            if not is_parted:
                fix = "no partition is there to end; remove it, or write a partition before it"
                raise ConfigError(f"faults.{k}.at_s", fault.at_s, fix)
            is_parted = False


def _check_drawn(world: Surrounding) -> None:
    nodes = world.topology.nodes
    hostile = {it.peer for it in world.adversaries if it.peer is not None}
    equipped = {peer for device in world.devices for peer in device.peers or []}
    others = nodes - len(equipped)
    liars = {f"adversaries.{k}": it.share for k, it in enumerate(world.adversaries)}
    _check_shares_drawn(liars, of=nodes, free=nodes - len(hostile))
    devices = {f"devices.{k}": it.share for k, it in enumerate(world.devices)}
    _check_shares_drawn(devices, of=others, free=others)
    for k, fault in enumerate(world.faults):
        if isinstance(fault, ChurnTable):
            _check_shares_drawn({f"faults.{k}": fault.share}, of=nodes, free=nodes)


def _check_shares_drawn(shares: Mapping[str, float | None], *, of: int, free: int) -> None:
    counts = counts_of(list(shares.values()), of=of, free=free)
    for (entry, share), count in zip(shares.items(), counts, strict=True):
        if share is None or count > 0:
            continue
        if sum(counts) == free:
            fix = "other entries leave nobody to draw; write less there, or have more peers"
        else:
            # Alone, whose half rounds to 0; beside others, one that no rest is large enough for.
            is_alone = sum(it is not None for it in shares.values()) == 1
            least = math.floor(0.5 / share) + 1 if is_alone else math.ceil(1.0 / share)
            fix = f"draws none of {of} peers; write more, or have {least} peers or more"
        raise ConfigError(f"{entry}.share", share, fix)


def _check_some_train(world: Surrounding) -> None:
    nodes, relays = world.topology.nodes, world.topology.relays
    if len(relays) == nodes:
        raise ConfigError("topology.relays", relays, "let at least one peer train")
    # Under whichever seed: where lies are drawn, those drawn may be all that do not relay.
    named = {it.peer for it in world.adversaries if it.peer is not None}
    drawn = len(world.liars(seed=0)) - len(named)
    honest = nodes - len(named | set(relays))
    if honest <= drawn:
        fix = "leave at least one honest peer that trains; there is nothing to measure else"
        raise ConfigError("adversaries", len(named) + drawn, fix)
