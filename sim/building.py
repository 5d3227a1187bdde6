"""Making the world of a scenario: its peers, its network and what goes wrong in it."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, assert_never

from p2pfed.config.assembly import Agreement, core_config
from p2pfed.config.learning import Assembly, assemble
from p2pfed.core.config import CoreConfig
from p2pfed.learn.decoded import DecodeCache
from p2pfed.learn.tasks import load_task
from p2pfed.learn.workbench import Workbench
from sim.adversaries import registry
from sim.adversaries.adversary import Adversary
from sim.availability import Absence, absences, starts_s
from sim.benches import Bench
from sim.checkers.standard import standard_checkers
from sim.compute.batched import Batched
from sim.compute.calculator import Calculator, Sequential
from sim.devices import Machine, machines_of
from sim.ending import Ending
from sim.faults import Clog, Crash, Fault, Heal, Partition, Restart, Slow, plan_faults
from sim.identities import identity_of, random_for
from sim.in_rounds.translation import scenario_fields
from sim.jobs import ComputeModel
from sim.lives import Churn, combine
from sim.lots import counts_of
from sim.member import Member
from sim.other_runs import other_run
from sim.overlay import overlay
from sim.scenario import Scenario
from sim.sharing import SharedRows, in_one_piece, share_frozen, share_initial
from sim.tables import (
    ChurnTable,
    ClogTable,
    ComputeTable,
    CrashTable,
    HealTable,
    PartitionTable,
    RestartTable,
    SlowTable,
    Surrounding,
    WrittenTable,
)
from sim.watching import Watcher
from sim.world import World

# Of vectors of payloads, in bytes: two thirds of one round of 10,000 small perceptrons, whose
# neighbors read each of them. Half as much again is no faster, as far as runs agree.
_DECODED_BYTES_MAX: Final = 64 << 20

_CALCULATORS: Final[Mapping[str, Callable[[], Calculator]]] = {
    "batched": Batched,
    "sequential": Sequential,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A world that is ready to be played.

    Attributes:
        world: Its peers, or some of them.
        ending: Says when nobody of them trains any more, and nobody will.
    """

    world: World
    ending: Ending


def set_stage(
    scenario: Scenario,
    seed: int,
    watchers: Sequence[Watcher],
    *,
    here: Collection[int] | None = None,
) -> Stage:
    """Make the world of a scenario, and plan what goes wrong in it.

    Args:
        scenario: Whose fidelity is `messages`.
        seed: Of everything random.
        watchers: Are told what happens, beside the checkers that every simulation has.
        here: Numbers of the peers that are in it, all by default; see `sim.parts`.

    Raises:
        ConfigError: If the scenario cannot be used.
    """
    adversaries = {
        peer: registry.create(entry.kind, seed=seed, index=peer, params=entry.params)
        for peer, entry in scenario.world.liars(seed=seed).items()
    }
    faults = draw_faults(scenario, seed)
    world = _build(scenario, seed, adversaries, watchers, keeps_models=bool(faults), here=here)
    plan_faults(world, faults)
    return Stage(world=world, ending=Ending(world, faults, until_s=scenario.world.until_s))


def draw_faults(scenario: Scenario, seed: int) -> list[Fault]:
    """Return what goes wrong in a scenario under a seed, in order of time."""
    world = scenario.world
    churns = [
        _churn(table, random_for(seed, f"churn/{number}"), world.topology.nodes)
        for number, table in enumerate(world.faults)
        if isinstance(table, ChurnTable)
    ]
    written = [_fault(table) for table in world.faults if not isinstance(table, ChurnTable)]
    return combine(written, churns=churns, absences=_absences(world))


def _fault(table: WrittenTable) -> Fault:
    match table:
        case CrashTable():
            return Crash(at_s=table.at_s, peers=tuple(table.peers), silent=table.silent)
        case RestartTable():
            peers = tuple(table.peers)
            return Restart(at_s=table.at_s, peers=peers, lose_disk=table.lose_disk)
        case PartitionTable():
            groups = tuple(map(tuple, table.groups))
            return Partition(at_s=table.at_s, groups=groups, one_way=table.one_way)
        case HealTable():
            return Heal(at_s=table.at_s)
        case ClogTable():
            links = tuple((sender, receiver) for sender, receiver in table.links)
            return Clog(at_s=table.at_s, links=links, for_s=table.for_s)
        case SlowTable():
            peers = tuple(table.peers)
            return Slow(at_s=table.at_s, peers=peers, speed_ratio=table.speed_ratio)
        case _:
            assert_never(table)


def _churn(table: ChurnTable, generator: random.Random, nodes: int) -> Churn:
    [hit] = counts_of([table.share], of=nodes, free=nodes)
    return Churn(
        peers=table.peers or sorted(generator.sample(range(nodes), k=hit)),
        generator=generator,
        from_s=table.at_s,
        until_s=table.until_s,
        period_s=table.period_s,
        down_s=table.down_s,
    )


def _absences(world: Surrounding) -> list[Absence]:
    return [
        absence
        for table, presences in world.presences()
        for absence in absences(presences, silent=table.silent)
    ]


def _build(
    scenario: Scenario,
    seed: int,
    adversaries: Mapping[int, Adversary],
    watchers: Sequence[Watcher],
    *,
    keeps_models: bool,
    here: Collection[int] | None = None,
) -> World:
    net = scenario.world.topology.create(seed=seed)
    cache = DecodeCache(_DECODED_BYTES_MAX)
    config = scenario.run_config(0, seed=seed)
    with scenario_fields():
        rows = SharedRows(load_task(config.run.task, config.task))
    first = assemble(config, identity_of(seed, 0), task=rows.task_of(config))

    def make_bench(index: int) -> Bench:
        adversary = adversaries.get(index, Adversary())
        config = scenario.run_config(index, seed=seed)
        with scenario.naming_variants(index):
            made = assemble(
                config,
                identity_of(seed, index),
                task=adversary.task(rows.task_of(config)),
                before_publish=adversary.difference,
                cache=cache,
                entropy=identity_of(seed, index).seed,
            )
        if made.agreement.run_id != first.agreement.run_id:
            raise other_run(scenario.world.variants, index, made.agreement, first.agreement)
        _share(made, first)
        return in_one_piece(made.bench)

    members = overlay(
        net.graph,
        _core_configs(scenario, seed, first.agreement),
        make_bench,
        seed=seed,
        adversaries=adversaries,
    )
    machines = machines_of(scenario.world, seed=seed)
    compute = scenario.world.compute
    world = World(
        net.graph,
        _on_machines(members, machines),
        seed=seed,
        link=scenario.world.network.link_model(),
        calculator=_CALCULATORS[compute.jobs](),
        compute=_compute_model(compute),
        lines={number: machine.line for number, machine in enumerate(machines)},
        start_spread_s=compute.start_spread_s,
        starts_s=starts_s(_absences(scenario.world)),
        watchers=[*watchers, *standard_checkers()],
        keeps_models=keeps_models,
        here=here,
    )
    world.pool.on_gone = cache.forget
    return world


def _share(made: Assembly, first: Assembly) -> None:
    """Let what a peer was made of be what the first one has, as far as it is equal."""
    assert made.adapted is not None
    assert first.adapted is not None
    share_frozen(made.adapted.model, first.adapted.model)
    if isinstance(made.bench, Workbench) and isinstance(first.bench, Workbench):
        share_initial(made.bench, first.bench)


def _compute_model(table: ComputeTable) -> ComputeModel:
    return ComputeModel(**{it.name: getattr(table, it.name) for it in fields(ComputeModel)})


def _on_machines(members: Sequence[Member], machines: Sequence[Machine]) -> list[Member]:
    return [
        replace(
            member,
            speed_ratio=machine.speed_ratio,
            clock_ahead_s=machine.clock_ahead_s,
            clock_rate_ratio=machine.clock_rate_ratio,
        )
        for member, machine in zip(members, machines, strict=True)
    ]


def _core_configs(
    scenario: Scenario, seed: int, agreement: Agreement
) -> Callable[[int], CoreConfig]:
    """Return what makes the configuration of each peer; equal ones are there once."""
    known: dict[CoreConfig, CoreConfig] = {}

    def make(index: int) -> CoreConfig:
        made = core_config(scenario.run_config(index, seed=seed), agreement)
        return known.setdefault(made, made)

    return make
