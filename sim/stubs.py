"""Worlds that learn nothing: the whole protocol with `StubBench`es, for tests and measurements."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import networkx as nx

from p2pfed.core.config import (
    CoreConfig,
    MembershipConfig,
    ParticipationConfig,
    ScheduleConfig,
    UpdateFamily,
)
from p2pfed.messages import Role
from p2pfed.wire.hashes import content_hash
from sim.adversaries import registry
from sim.adversaries.adversary import Adversary
from sim.benches import INLINE_PAYLOAD_BYTES, Bench, StubBench
from sim.checkers.links import LinksReturn
from sim.checkers.standard import standard_checkers
from sim.identities import identity_of
from sim.jobs import ComputeModel
from sim.links import LinkModel
from sim.member import Member
from sim.network import NetworkTiming, PeerLine
from sim.overlay import overlay
from sim.stub_differences import StubDifferenceBench
from sim.stub_logs import StubLogBench
from sim.world import World

_STUB_GENESIS: Final = b"a run of stub benches"


def stub_config(
    *,
    schedule: ScheduleConfig,
    membership: MembershipConfig | None = None,
    payload_bytes: int = INLINE_PAYLOAD_BYTES,
    family: UpdateFamily = UpdateFamily.WHOLE,
    participation: ParticipationConfig | None = None,
) -> CoreConfig:
    """Return the configuration of a run of `StubBench`es.

    Args:
        schedule: Its rounds.
        membership: Its timing; neighbors are filled in by `overlay`.
        payload_bytes: Size of its payloads, in bytes.
        family: What its updates are to each other.
        participation: How rows count that come seldom.
    """
    return CoreConfig(
        run_id=content_hash(_STUB_GENESIS),
        genesis_bytes=len(_STUB_GENESIS),
        genesis_fields=(("name", content_hash(_STUB_GENESIS)[:8]),),
        method="full",
        codec="float32",
        payload_bytes_max=payload_bytes,
        family=family,
        software="p2pfed sim",
        schedule=schedule,
        membership=membership or MembershipConfig(),
        participation=participation,
    )


def stub_world(
    graph: nx.Graph,
    schedule: ScheduleConfig,
    *,
    seed: int = 0,
    payload_bytes: int = INLINE_PAYLOAD_BYTES,
    relays: Collection[int] = (),
    adversaries: Mapping[int, str] | None = None,
    membership: MembershipConfig | None = None,
    link: LinkModel | None = None,
    compute: ComputeModel | None = None,
    start_spread_s: float = 0.1,
    keeps_lines: bool = False,
    family: UpdateFamily = UpdateFamily.WHOLE,
    rounds_max: Mapping[int, int | None] | None = None,
    participation: ParticipationConfig | None = None,
    clocks_ahead_s: Sequence[float] = (),
    clock_rates: Sequence[float] = (),
    lines: Sequence[PeerLine] = (),
    here: Collection[int] | None = None,
) -> World:
    """Make a world of stub benches with every checker in it.

    Args:
        graph: Nodes are 0 to n - 1.
        schedule: Rounds of every peer.
        seed: Of the world.
        payload_bytes: Size of every payload, in bytes; above 32 KiB they are fetched.
        relays: Numbers of peers that do not train.
        adversaries: Attacks by number of the peer; see `sim.adversaries.registry`.
        membership: Timing of the peers.
        link: Of every edge.
        compute: How long jobs take.
        start_spread_s: Peers start at random times within so many seconds.
        keeps_lines: Whether the trace keeps a line per event.
        family: What updates are to each other.
        rounds_max: Of peers that train for other numbers of rounds, by number; None for no end.
        participation: How rows count that come seldom.
        clocks_ahead_s: By how much each peer's clock is ahead, in seconds; empty for right ones.
        clock_rates: How fast each peer's clock goes; empty for right ones.
        lines: How each peer is connected to the network; empty for no bounds.
        here: Which peers it simulates, all by default; then no checker looks at links.
    """
    wanted = adversaries or {}
    attacks = {n: registry.create(kind, seed=seed, index=n) for n, kind in wanted.items()}
    config = stub_config(
        schedule=schedule,
        membership=membership,
        payload_bytes=payload_bytes,
        family=family,
        participation=participation,
    )

    def configure(index: int) -> CoreConfig:
        rounds = (rounds_max or {}).get(index, schedule.rounds_max)
        return replace(
            config,
            role=Role.RELAY if index in relays else Role.TRAIN,
            schedule=replace(schedule, rounds_max=rounds),
        )

    def make_bench(index: int) -> Bench:
        if family is not UpdateFamily.WHOLE:
            kind = StubLogBench if family is UpdateFamily.LEDGER else StubDifferenceBench
            return kind(index, identity_of(seed, index).peer, payload_bytes=payload_bytes)
        attack = attacks.get(index, Adversary())
        return StubBench(index, payload_bytes=payload_bytes, before_publish=attack.difference)

    members = overlay(graph, configure, make_bench, seed=seed, adversaries=attacks)
    of_links = [] if here is not None else [_links_return(config.membership, clock_rates)]
    return World(
        graph,
        _with_clocks(members, clocks_ahead_s, clock_rates),
        seed=seed,
        link=link,
        compute=compute,
        lines=dict(enumerate(lines)),
        start_spread_s=start_spread_s,
        watchers=[*standard_checkers(), *of_links],
        keeps_lines=keeps_lines,
        here=here,
    )


def _links_return(membership: MembershipConfig, clock_rates: Sequence[float]) -> LinksReturn:
    slowest = min(clock_rates, default=1.0)
    return LinksReturn(membership, NetworkTiming(), clock_rate_min=slowest)


def _with_clocks(
    members: Sequence[Member], ahead_s: Sequence[float], rates: Sequence[float]
) -> list[Member]:
    return [
        replace(member, clock_ahead_s=member_ahead_s, clock_rate_ratio=rate)
        for member, member_ahead_s, rate in zip(
            members,
            ahead_s or [0.0] * len(members),
            rates or [1.0] * len(members),
            strict=True,
        )
    ]
