"""What tables of a scenario must be together, beyond what each is by itself."""

from typing import Final

import topologies
from p2pfed.errors import ConfigError
from sim.adversaries import registry
from sim.edge_checks import check_edges
from sim.emptiness import check_effects, check_links, check_presences
from sim.rounds_scope import ROUNDS
from sim.tables import (
    AdversaryTable,
    ChurnTable,
    ClogTable,
    DeviceTable,
    HealTable,
    PartitionTable,
    Surrounding,
    TopologyTable,
)
from sim.topology_errors import check_known, table_error

_CRASHES_MAX: Final = 1_000_000  # of one table; all are drawn before a simulation begins


def check_tables(world: Surrounding) -> None:
    """Check numbers of peers, shares, names and traces.

    Raises:
        ConfigError: Naming the first field that cannot be used.
    """
    _check_numbers(world)
    _check_churn(world)
    _check_shares(world)
    _check_processes(world)
    _check_devices(world)
    check_presences(world)
    _check_names(world)
    check_effects(world)
    if world.fidelity != ROUNDS and not world.topology.depends_on_seed:
        check_links(world, seed=0)


def _check_numbers(world: Surrounding) -> None:
    nodes = world.topology.nodes
    named = [("topology.relays", world.topology.relays)]
    named += [(f"variants.{k}.peers", it.peers) for k, it in enumerate(world.variants)]
    named += [(f"devices.{k}.peers", it.peers or []) for k, it in enumerate(world.devices)]
    named += [
        (f"availability.{k}.peers", it.peers or []) for k, it in enumerate(world.availability)
    ]
    named += [
        (f"adversaries.{k}.peer", [a.peer])
        for k, a in enumerate(world.adversaries)
        if a.peer is not None
    ]
    for k, fault in enumerate(world.faults):
        if isinstance(fault, PartitionTable):
            named.append((f"faults.{k}.groups", [peer for group in fault.groups for peer in group]))
        elif isinstance(fault, ClogTable):
            named += [(f"faults.{k}.links", list(link)) for link in fault.links]
        elif not isinstance(fault, HealTable):
            named.append((f"faults.{k}.peers", fault.peers or []))
    for field, peers in named:
        if any(peer >= nodes for peer in peers):
            raise ConfigError(field, max(peers), f"write a number from 0 to {nodes - 1}")
        if len(set(peers)) != len(peers):
            raise ConfigError(field, peers, "name each peer once")
    hostile = [it.peer for it in world.adversaries if it.peer is not None]
    if len(set(hostile)) != len(hostile):
        raise ConfigError("adversaries", hostile, "one entry per hostile peer")


def _check_processes(world: Surrounding) -> None:
    processes, nodes = world.compute.processes, world.topology.nodes
    if processes > nodes:
        fix = f"write at most {nodes}, a process for each peer"
        raise ConfigError("compute.processes", processes, fix)


def _check_churn(world: Surrounding) -> None:
    for k, fault in enumerate(world.faults):
        if not isinstance(fault, ChurnTable):
            continue
        if fault.until_s <= fault.at_s:
            raise ConfigError(f"faults.{k}.until_s", fault.until_s, "write more than at_s")
        least_s = (fault.until_s - fault.at_s) / _CRASHES_MAX
        if fault.period_s < least_s:
            fix = f"write at least {least_s:g}, which makes {_CRASHES_MAX} crashes"
            raise ConfigError(f"faults.{k}.period_s", fault.period_s, fix)


def _check_devices(world: Surrounding) -> None:
    named = [peer for device in world.devices for peer in device.peers or []]
    if len(set(named)) != len(named):
        raise ConfigError("devices.peers", named, "name each peer in one device")


def _check_shares(world: Surrounding) -> None:
    either: dict[str, DeviceTable | ChurnTable | AdversaryTable] = {
        f"devices.{k}": it for k, it in enumerate(world.devices)
    }
    either |= {f"faults.{k}": it for k, it in enumerate(world.faults) if isinstance(it, ChurnTable)}
    either |= {f"adversaries.{k}": it for k, it in enumerate(world.adversaries)}
    for field, entry in either.items():
        what = "peer" if isinstance(entry, AdversaryTable) else "peers"
        if (getattr(entry, what) is None) == (entry.share is None):
            written = entry.model_dump(exclude_unset=True)
            raise ConfigError(field, written, f"write either {what} or share")
    shares = {
        "devices": [it.share for it in world.devices],
        "adversaries": [it.share for it in world.adversaries],
    }
    for name, given in shares.items():
        total = sum(share or 0.0 for share in given)
        if total > 1.0 + 1e-9:  # rounding of decimal fractions
            raise ConfigError(f"{name}.share", total, "write shares that sum to 1 at most")


def _check_names(world: Surrounding) -> None:
    is_in_rounds = world.fidelity == ROUNDS
    _check_topology(world.topology, is_in_rounds=is_in_rounds)
    for k, adversary in enumerate(world.adversaries):
        try:
            if is_in_rounds:
                _check_lie(adversary)
            else:
                registry.create(adversary.kind, seed=0, index=0, params=adversary.params)
        except ConfigError as error:
            field = error.field.removeprefix("adversaries.")
            raise ConfigError(f"adversaries.{k}.{field}", error.value, error.fix) from error


def _check_topology(table: TopologyTable, *, is_in_rounds: bool) -> None:
    if is_in_rounds:
        check_known(table.name, "topology.name")
    if table.name not in topologies.dynamic_names():
        check_edges(table, table.create(seed=0).graph)
        return
    if not is_in_rounds:
        fix = 'it changes from round to round; write fidelity = "rounds", or a shape that stays'
        raise ConfigError("topology.name", table.name, fix)
    try:
        topologies.create_dynamic(table.name, nodes=table.nodes, seed=0, **table.params)
    except topologies.TopologyError as error:
        raise table_error(table.model_dump(), error) from error


def _check_lie(table: AdversaryTable) -> None:
    from sim.rounds.threat import lie_of_kind  # needs torch, which other scenarios may not

    lie_of_kind(table.kind, table.params)
