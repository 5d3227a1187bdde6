"""Descriptions of random small worlds: a seed draws topology, method, network, faults and liars."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import networkx as nx

import topologies
from p2pfed.core.config import (
    IntegrationMoment,
    IntervalAverage,
    MembershipConfig,
    ParticipationConfig,
    ScheduleConfig,
    ScheduleMode,
    UpdateFamily,
)
from sim.adversaries import registry
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.faults import Clog, Crash, Fault, Heal, Leave, Partition, Restart, Slow
from sim.identities import random_for
from sim.jobs import ComputeModel
from sim.links import RETRANSMISSION_S_MIN, SEGMENT_BYTES, Drawn, Latency, LinkModel
from sim.lives import Churn, combine
from sim.network import PeerLine
from sim.tables import CLOCK_DRIFT_MAX

SAFETY_S: Final = 30.0  # faults may happen for so long, in virtual seconds
USUAL_TRAINING_S: Final = ComputeModel().training_s

_NODES_MIN: Final = 3
_NODES_MAX: Final = 8  # small worlds find as much as large ones, and fail readably
_ROUNDS_MIN: Final = 3
_ROUNDS_MAX: Final = 12
# Longer than the safety phase: who is done early still has its log when a partition ends.
_LINGER_S: Final = 40.0
# Longer than most round trips, so that much is overtaken. A leaf of the graph gets the logs of all
# by two transfers at a time: with seconds for each it has not done so when ledgers are compared.
_REORDERING_S: Final = 0.4
# Those that lie about the protocol, and one that stubs understand: their models are four numbers.
ATTACKS: Final = tuple(sorted(registry.ADVERSARIES))
# Those that a ledger of integers knows nothing of.
HARMLESS: Final = ("scaled-difference",)
_FAULTS: Final = ("churn", "clog", "leave", "outage", "partition", "slow")
_FAULTS_THAT_LOSE_NOTHING: Final = ("clog", "partition", "slow")
_TOPOLOGIES: Final = (
    "barabasi-albert",
    "complete",
    "dumbbell",
    "exponential",
    "geometric",
    "k-regular",
    "line",
    "ring",
    "star",
    "tree",
)
# Whole vectors are the most frequent: ledgers take three times as long, and know fewer attacks.
_FAMILIES: Final = (*[UpdateFamily.WHOLE] * 2, UpdateFamily.DIFFERENCE, UpdateFamily.LEDGER)
# Slow ones are the most frequent: a round takes as long to simulate, and there are fewer of them.
_ENDLESS_TRAINING_S: Final = (USUAL_TRAINING_S, *[3.0] * 3)
# Of lines to the network, as of edges; half of them have none.
_LINE_BYTES_PER_S: Final = (None, None, 1e6, 1e5)
# As far off as a scenario lets clocks be.
_CLOCK_RATES: Final = (round(1.0 - CLOCK_DRIFT_MAX, 2), 1.0, 1.0 + CLOCK_DRIFT_MAX)
DEFAULT: Final = MembershipConfig()
# Its links return in 38 s, so that the checker of links looks while peers linger.
_QUICK: Final = MembershipConfig(heartbeat_s=1.0, suspicion_s=4.0, redial_s_max=8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a seed drew.

    Attributes:
        seed: The seed, of the world too.
        topology: Name of the graph.
        nodes: Peers.
        schedule: Rounds of every peer.
        payload_bytes: Size of payloads, in bytes.
        link: Of every edge.
        start_spread_s: Peers start at random times within so many seconds.
        relays: Peers that do not train.
        adversaries: Attacks by number of the peer.
        faults: What goes wrong in the safety phase.
        family: What updates are to each other.
        membership: Timing of the peers.
        clocks_ahead_s: Of each peer; empty where all clocks are right.
        participation: How rows count that come seldom; None for alike.
        endless: Peers that train on until all has been exchanged, whatever the schedule says.
        training_s: What one training takes, in seconds.
        lines: How each peer is connected to the network; empty where none has a bound.
        clock_rates: How fast the clock of each peer goes; empty where all clocks are right.
    """

    seed: int
    topology: str
    nodes: int
    schedule: ScheduleConfig
    payload_bytes: int
    link: LinkModel
    start_spread_s: float
    relays: tuple[int, ...]
    adversaries: dict[int, str]
    faults: tuple[Fault, ...]
    family: UpdateFamily = UpdateFamily.WHOLE
    membership: MembershipConfig = DEFAULT
    clocks_ahead_s: tuple[float, ...] = ()
    participation: ParticipationConfig | None = None
    endless: tuple[int, ...] = ()
    training_s: float = USUAL_TRAINING_S
    lines: tuple[PeerLine, ...] = ()
    clock_rates: tuple[float, ...] = ()

    def graph(self) -> nx.Graph:
        """Make the graph.

        Raises:
            TopologyError: If there is none of this name with so many nodes.
        """
        params = {"degree": 4} if self.topology == "k-regular" else {}
        return topologies.create(self.topology, nodes=self.nodes, seed=self.seed, **params).graph


def draw_case(seed: int) -> Case:
    """Draw a case; equal seeds give equal ones."""
    generator = random_for(seed, "swarm")
    # Drawn apart, so that whatever else a seed draws is what it was before there were these.
    reordering_s = random_for(seed, "swarm/reordering").choice((0.0, 0.0, _REORDERING_S))
    recipients = random_for(seed, "swarm/recipients").choice((None, None, 1, 2))
    nodes = generator.randint(_NODES_MIN, _NODES_MAX)
    family = generator.choice(_FAMILIES)
    # Of half of the ledgers, nothing may be lost, so that all must come to be the same.
    is_lossless = family is UpdateFamily.LEDGER and generator.random() < 0.5
    attacks = HARMLESS if is_lossless else ATTACKS
    kinds = _FAULTS_THAT_LOSE_NOTHING if is_lossless else _FAULTS
    adversaries = _draw_adversaries(nodes, attacks, generator)
    honest = [number for number in range(nodes) if number not in adversaries]
    relays = (generator.choice(honest),) if len(honest) > 2 and generator.random() < 0.2 else ()
    case = Case(
        seed=seed,
        topology=_draw_topology(nodes, generator),
        nodes=nodes,
        schedule=_for_some(_draw_schedule(generator), family, recipients),
        payload_bytes=generator.choice((INLINE_PAYLOAD_BYTES,) * 2 + (LARGE_PAYLOAD_BYTES,)),
        link=_draw_link(generator, reordering_s),
        start_spread_s=generator.choice((0.1, 10.0)),
        relays=relays,
        adversaries=adversaries,
        faults=tuple(_draw_faults(nodes, kinds, generator)),
        family=family,
        membership=generator.choice((DEFAULT, _QUICK)),
        clocks_ahead_s=_draw_clocks(nodes, generator),
    )
    case = _with_more_drawn(case, random_for(seed, "swarm/more"))
    case = _with_endless_drawn(case, random_for(seed, "swarm/endless"))
    case = replace(case, clock_rates=_draw_rates(nodes, random_for(seed, "swarm/clock-rates")))
    return _with_lines_drawn(case, random_for(seed, "swarm/lines"))


def _with_endless_drawn(case: Case, generator: random.Random) -> Case:
    """Draw who still trains when everything is mended: nobody, some or all."""
    everybody = range(case.nodes)
    some = sorted(generator.sample(everybody, k=max(1, case.nodes // 2)))
    endless = generator.choice(((), some, everybody, everybody))
    training_s = generator.choice(_ENDLESS_TRAINING_S)
    if not endless or _is_too_much(case, training_s):
        return case
    # Links are back before those who have trained leave: their last rows are still to be had.
    membership = case.membership if len(endless) == case.nodes else _QUICK
    return replace(case, endless=tuple(endless), training_s=training_s, membership=membership)


def _with_lines_drawn(case: Case, generator: random.Random) -> Case:
    """Draw how peers are connected; whatever else was drawn stays, and comes first."""
    if generator.random() < 0.5:
        return case
    for number in range(case.nodes):
        up, down = (generator.choice(_LINE_BYTES_PER_S) for _ in range(2))
        line = PeerLine(upload_bytes_per_s=up, download_bytes_per_s=down)
        before = case.lines or (PeerLine(),) * case.nodes
        with_line = replace(case, lines=(*before[:number], line, *before[number + 1 :]))
        if line != PeerLine() and not _is_too_thin(with_line, case.training_s):
            case = with_line
    return case


def _is_too_much(case: Case, training_s: float) -> bool:
    """Return whether large payloads come faster than they can be taken on.

    Entries of a ledger are fetched one of an author at a time. Of other families an author serves
    the newest update alone: whoever asks for it after the next training is refused, each time.
    """
    if case.payload_bytes < LARGE_PAYLOAD_BYTES:
        return False
    link = case.link
    spread = 0.0 if link.latency is Latency.CONSTANT else link.spread_ratio
    round_trip_s = 2.0 * (link.latency_s * (1.0 + spread) + link.reordering_s)
    lost = min(1.0, link.loss_ratio * case.payload_bytes / SEGMENT_BYTES)
    fetch_s = round_trip_s + lost * (RETRANSMISSION_S_MIN + 2.0 * link.latency_s)
    is_ledger = case.family is UpdateFamily.LEDGER
    return _is_too_thin(case, training_s) or fetch_s > (0.5 if is_ledger else 1.0) * training_s


def _is_too_thin(case: Case, training_s: float) -> bool:
    """Return whether edges or lines cannot carry large payloads as fast as they are made.

    Of a ledger every edge carries the entries of all, and a line those of all edges of its peer; of
    other families an update of each end, for which edges alone were wide enough so far.
    """
    if case.payload_bytes < LARGE_PAYLOAD_BYTES:
        return False
    ups, downs = [math.inf], [math.inf]  # bytes per second of one edge
    for (_, degree), line in zip(sorted(case.graph().degree), case.lines, strict=False):
        ups.append((line.upload_bytes_per_s or math.inf) / max(1, degree))
        # Of a ledger each entry is fetched once, whoever has it.
        edges = 1 if case.family is UpdateFamily.LEDGER else max(1, degree)
        downs.append((line.download_bytes_per_s or math.inf) / edges)
    least = min(*ups, *downs)
    if case.family is not UpdateFamily.LEDGER:
        return 2.0 * case.payload_bytes / training_s > least  # half of a line is left for the rest
    least = min(least, case.link.bandwidth_bytes_per_s or math.inf)
    return case.payload_bytes * case.nodes > least * USUAL_TRAINING_S


def _with_more_drawn(case: Case, generator: random.Random) -> Case:
    """Draw what cases have had since there were names for seeds; the rest of them is as it was."""
    is_one_way = generator.random() < 0.5
    faults = [
        replace(fault, one_way=is_one_way) if isinstance(fault, Partition) else fault
        for fault in case.faults
    ]
    return replace(
        case,
        faults=tuple(faults),
        schedule=_draw_pace(case, generator),
        participation=_draw_participation(case.family, generator),
    )


def _draw_pace(case: Case, generator: random.Random) -> ScheduleConfig:
    """Draw when peers integrate, and how often what one training made is mixed."""
    moments = (*[IntegrationMoment.AFTER_TRAINING] * 2, *IntegrationMoment)
    integrate, gossip_steps = generator.choice(moments), generator.choice((1, 1, 3))
    window_s, arrivals = generator.choice((0.5, 3.0)), generator.choice((1, 3))
    staleness_rounds_max = generator.choice((10, 10, 0))
    if case.schedule.mode is ScheduleMode.SYNCHRONOUS:
        # A ledger is no mixture, and of differences each is of a training.
        is_mixed = case.family is UpdateFamily.WHOLE
        return replace(case.schedule, gossip_steps=gossip_steps if is_mixed else 1)
    return replace(
        case.schedule,
        integrate=integrate,
        window_s=window_s,
        arrivals=arrivals,
        staleness_rounds_max=staleness_rounds_max,
    )


def _draw_participation(
    family: UpdateFamily, generator: random.Random
) -> ParticipationConfig | None:
    average = generator.choice((None, None, *IntervalAverage))
    if average is None or family is UpdateFamily.LEDGER:  # where each entry counts once
        return None
    return ParticipationConfig(average=average, interval_max=generator.choice((3, 20)))


def _draw_topology(nodes: int, generator: random.Random) -> str:
    if nodes < 5:  # a degree of 4, two cliques and a tree of more than a line need five
        return generator.choice(("complete", "line", "ring", "star"))
    return generator.choice(_TOPOLOGIES)


def _draw_schedule(generator: random.Random) -> ScheduleConfig:
    return ScheduleConfig(
        mode=generator.choice((ScheduleMode.SYNCHRONOUS, ScheduleMode.ASYNCHRONOUS)),
        rounds_max=generator.randint(_ROUNDS_MIN, _ROUNDS_MAX),
        deadline_s=generator.choice((2.0, 5.0)),
        linger_s=_LINGER_S,
        start_neighbors=generator.choice((0, 1)),
        start_deadline_s=10.0,
    )


def _for_some(
    schedule: ScheduleConfig, family: UpdateFamily, recipients: int | None
) -> ScheduleConfig:
    """Return a schedule whose updates are for so many neighbors, where not all need them."""
    is_asynchronous = schedule.mode is ScheduleMode.ASYNCHRONOUS
    if family is not UpdateFamily.WHOLE or not is_asynchronous:
        return schedule
    return replace(schedule, recipients=recipients)


def _draw_link(generator: random.Random, reordering_s: float) -> LinkModel:
    return LinkModel(
        latency_s=generator.choice((0.0, 0.02, 0.2)),
        bandwidth_bytes_per_s=generator.choice((None, 1e6, 1e5)),
        loss_ratio=generator.choice((0.0, 0.0, 0.02)),
        latency=generator.choice((Latency.CONSTANT, Latency.UNIFORM, Latency.LOGNORMAL)),
        spread_ratio=0.5,
        drawn=generator.choice((Drawn.EDGE, Drawn.MESSAGE)),
        queue_bytes_max=generator.choice((None, 1_000_000)),
        reordering_s=reordering_s,
    )


def _draw_clocks(nodes: int, generator: random.Random) -> tuple[float, ...]:
    if generator.random() < 0.7:
        return ()
    return tuple(generator.choice((0.0, 3.0, 1e6)) for _ in range(nodes))


def _draw_rates(nodes: int, generator: random.Random) -> tuple[float, ...]:
    if generator.random() < 0.5:
        return ()
    return tuple(generator.choice(_CLOCK_RATES) for _ in range(nodes))


def _draw_adversaries(
    nodes: int, attacks: Sequence[str], generator: random.Random
) -> dict[int, str]:
    if generator.random() < 0.5:
        return {}
    liars = generator.sample(range(nodes), k=generator.randint(1, max(1, nodes // 3)))
    return {liar: generator.choice(attacks) for liar in sorted(liars)}


def _draw_faults(nodes: int, among: Sequence[str], generator: random.Random) -> list[Fault]:
    faults: list[Fault] = []
    kinds = [kind for kind in among if generator.random() < 0.3]
    if "churn" in kinds:
        churn = Churn(
            peers=range(nodes),
            generator=generator,
            until_s=0.6 * SAFETY_S,
            period_s=5.0,
            down_s=4.0,
            lost_disk_ratio=generator.choice((0.0, 0.3)),
        )
        faults += combine([], churns=[churn])
    if "partition" in kinds:
        group = tuple(sorted(generator.sample(range(nodes), k=generator.randint(1, nodes - 1))))
        at_s = 0.5 * SAFETY_S * generator.random()
        faults.append(Partition(at_s=at_s, groups=(group,)))
        faults.append(Heal(at_s=at_s + 0.5 * SAFETY_S * generator.random()))
    if "clog" in kinds:
        first, second = generator.sample(range(nodes), k=2)
        both = ((first, second), (second, first))
        faults.append(
            Clog(
                at_s=0.5 * SAFETY_S * generator.random(),
                links=generator.choice((both, both[:1])),
                for_s=0.5 * SAFETY_S * generator.random(),
            )
        )
    if "outage" in kinds:  # the power of all fails at once
        at_s = 0.5 * SAFETY_S * generator.random()
        everybody = tuple(range(nodes))
        faults.append(Crash(at_s=at_s, peers=everybody, silent=generator.random() < 0.5))
        faults.append(Restart(at_s=at_s + 5.0, peers=everybody))
    if "leave" in kinds:
        faults.append(
            Leave(at_s=SAFETY_S * generator.random(), peers=(generator.randrange(nodes),))
        )
    if "slow" in kinds:
        peer = (generator.randrange(nodes),)
        faults.append(Slow(at_s=1.0, peers=peer, speed_ratio=generator.choice((0.1, 0.5, 4.0))))
    return faults
