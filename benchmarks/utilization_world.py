"""Sixteen peers on home lines, all of the protocol, and how much of the time they train."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final, final

import networkx as nx
from typing_extensions import override

from benchmarks.utilization_padding import STUB_BYTES, PaddedBench
from benchmarks.utilization_updates import NO_COSTS, PEERS, UPDATES, Costs
from p2pfed.core.config import ScheduleConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import Effect, StartIntegration, StartTraining
from p2pfed.core.events import Event, IntegrationFinished, TrainingFinished
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.identity import PeerId
from sim.benches import Bench, StubBench
from sim.checkers.standard import standard_checkers
from sim.host import Host
from sim.identities import identity_of
from sim.jobs import ComputeModel
from sim.links import LinkModel
from sim.network import PeerLine
from sim.overlay import overlay
from sim.stub_differences import StubDifferenceBench
from sim.stub_logs import StubLogBench
from sim.stubs import stub_config
from sim.watching import Watcher
from sim.world import World

STEPS: Final = 30
LINE: Final = PeerLine(upload_bytes_per_s=12.5e6, download_bytes_per_s=12.5e6)  # 100 Mbit/s
LATENCY_S: Final = 0.05
DEGREE: Final = 4
GRAPHS: Final = {"4-regular": DEGREE, "complete": PEERS - 1}  # to how many neighbors
# Beside a first one, in which peers find each other and nothing has come yet. What takes
# asynchronous peers longer than a short round, such as a transfer, shows in the next ones.
ROUNDS: Final = 1
ROUNDS_OF_SHORT: Final = 3
_LONG_STEP_S: Final = 10.0
# Longer than anything that is measured here: a synchronous round waits for all its rows.
_DEADLINE_S: Final = 3_600.0
_END_S: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One world.

    Attributes:
        update: A name of `UPDATES`.
        graph: A name of `GRAPHS`.
        mode: When peers integrate.
        step_s: One local step, in seconds.
        jitter_ratio: By which share each job takes more or less.
        seed: Of graph, starts and jitter.
    """

    update: str = "sparse-sum"
    graph: str = "4-regular"
    mode: str = "synchronous"
    step_s: float = 40.0
    jitter_ratio: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """What became of the time, over the counted rounds.

    Attributes:
        training: Share of the time in which a peer takes local steps, by peer.
        working: Share of it for encoding and integrating, mean over the peers.
        round_s: A round, mean over peers and rounds, in seconds.
        sent_bytes: Of a peer in a round, mean, with all frames and framing.
        updates: Of others that a peer takes in for the first time in a round, mean.
        age_s: From the publication of these until they are in the model, mean, in seconds.
    """

    training: tuple[float, ...]
    working: float
    round_s: float
    sent_bytes: float
    updates: float
    age_s: float

    @property
    def mean(self) -> float:
        """Share of the time for training, mean over the peers."""
        return fmean(self.training)

    @property
    def worst(self) -> float:
        """Share of the time for training, of the peer with the least."""
        return min(self.training)


@dataclass(slots=True)
class _Peer:
    """What one peer has done so far.

    Attributes:
        began_s: When the running job began.
        training_s: In training jobs, encoding included.
        integration_s: In integrations.
        rounds: After each round, the time and what the two fields above were.
        taken: Payloads of others that are in the model.
        ages_s: Of these, when they came in, beside the round.
    """

    began_s: float = 0.0
    training_s: float = 0.0
    integration_s: float = 0.0
    rounds: list[tuple[float, float, float]] = field(default_factory=list)
    taken: set[bytes] = field(default_factory=set)
    ages_s: list[tuple[int, float]] = field(default_factory=list)


@final
class Lanes(Watcher):
    """Writes down when the lane that changes the model is busy, and with what.

    Attributes:
        peers: By number.
        sizes: Of all payloads that were published.
    """

    def __init__(self) -> None:
        self.peers: list[_Peer] = [_Peer() for _ in range(PEERS)]
        self.sizes: set[int] = set()
        self._published_s: dict[bytes, float] = {}
        self._rows: dict[int, tuple[bytes, ...]] = {}  # that a running integration reads, by peer

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        peer = self.peers[host.index]
        if isinstance(event, TrainingFinished):
            peer.training_s += host.now_s - peer.began_s
            self._published_s[event.payload.content_hash] = host.now_s
            self.sizes.add(event.payload.size_bytes)
        elif isinstance(event, IntegrationFinished):
            peer.integration_s += host.now_s - peer.began_s
            for content_hash in self._rows.pop(host.index):
                if content_hash not in peer.taken:
                    peer.taken.add(content_hash)
                    age_s = host.now_s - self._published_s[content_hash]
                    peer.ages_s.append((len(peer.rounds), age_s))
        for effect in effects:
            if isinstance(effect, StartTraining | StartIntegration):
                peer.began_s = host.now_s
            if isinstance(effect, StartIntegration):
                self._rows[host.index] = tuple(_hashes(effect))

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        peer = self.peers[host.index]
        if isinstance(notice, RoundFinished):
            peer.rounds.append((host.now_s, peer.training_s, peer.integration_s))


def _hashes(effect: StartIntegration) -> Iterator[bytes]:
    for row in effect.rows:
        for header in (*row.before, row.header):
            yield header.payload_hash


def compute_model(setting: Setting, costs: Costs) -> ComputeModel:
    """Return how long jobs take: local steps, and what was measured of all else."""
    return ComputeModel(
        training_s=STEPS * setting.step_s + costs.publish_s,
        integration_s=costs.integrate_s.get(_updates_per_round(setting), 0.0),
        validation_s=costs.read_s,
        jitter_ratio=setting.jitter_ratio,
    )


def simulate(
    setting: Setting, costs: Costs = NO_COSTS, *, rounds: int | None = None
) -> Utilization:
    """Play the rounds of a setting and say what became of the time.

    Args:
        setting: Of the world.
        costs: Of all that is no local step; nothing if left out.
        rounds: To be counted; by the schedule and the length of a step if left out.
    """
    if rounds is None:
        is_short = setting.step_s < _LONG_STEP_S and setting.mode == "asynchronous"
        rounds = ROUNDS_OF_SHORT if is_short else ROUNDS
    update, lanes = UPDATES[setting.update], Lanes()
    world = _world(setting, costs, lanes, rounds)
    sent_before: list[int] = []

    def is_over() -> bool:
        if not sent_before and all(peer.rounds for peer in lanes.peers):
            sent_before.extend(world.network.sent_bytes())
        return world.all_done()

    assert world.run(until_s=_END_S, stop=is_over)
    assert lanes.sizes == {update.payload_bytes}
    sent = [
        (after - before) / rounds
        for after, before in zip(world.network.sent_bytes(), sent_before, strict=True)
    ]
    return _utilization(setting, costs, lanes, fmean(sent), rounds)


def _world(setting: Setting, costs: Costs, lanes: Lanes, rounds: int) -> World:
    update, graph = UPDATES[setting.update], _graph(setting)
    config = stub_config(
        schedule=ScheduleConfig(
            mode=ScheduleMode(setting.mode),
            rounds_max=rounds + 1,
            deadline_s=_DEADLINE_S,
            evaluate_every_rounds=0,
        ),
        payload_bytes=update.payload_bytes,
        family=update.family,
    )

    def make_bench(index: int) -> Bench:
        own = identity_of(setting.seed, index).peer
        return PaddedBench(_stub(update.family, index, own), payload_bytes=update.payload_bytes)

    return World(
        graph,
        overlay(graph, lambda _: config, make_bench, seed=setting.seed),
        seed=setting.seed,
        link=LinkModel(latency_s=LATENCY_S),
        lines=dict.fromkeys(range(PEERS), LINE),
        compute=compute_model(setting, costs),
        watchers=[*standard_checkers(), lanes],
    )


def _stub(family: UpdateFamily, index: int, own: PeerId) -> Bench:
    match family:
        case UpdateFamily.LEDGER:
            return StubLogBench(index, own, payload_bytes=STUB_BYTES)
        case UpdateFamily.DIFFERENCE:
            return StubDifferenceBench(index, own, payload_bytes=STUB_BYTES)
        case UpdateFamily.WHOLE:
            return StubBench(index, payload_bytes=STUB_BYTES)


def _utilization(
    setting: Setting, costs: Costs, lanes: Lanes, sent_bytes: float, rounds: int
) -> Utilization:
    steps_s = STEPS * setting.step_s
    of_job = steps_s / (steps_s + costs.publish_s)  # the rest of a training job encodes
    training, working, spans_s, ages_s = [], [], [], []
    for peer in lanes.peers:
        (first_s, *first), (last_s, *last) = peer.rounds[0], peer.rounds[rounds]
        job_s, integration_s = (after - before for after, before in zip(last, first, strict=True))
        span_s = last_s - first_s
        training.append(of_job * job_s / span_s)
        working.append(((1.0 - of_job) * job_s + integration_s) / span_s)
        spans_s.append(span_s / rounds)
        ages_s += [age_s for round, age_s in peer.ages_s if 1 <= round <= rounds]
    return Utilization(
        training=tuple(training),
        working=fmean(working),
        round_s=fmean(spans_s),
        sent_bytes=sent_bytes,
        updates=len(ages_s) / PEERS / rounds,
        age_s=fmean(ages_s) if ages_s else float("nan"),
    )


def _updates_per_round(setting: Setting) -> int:
    is_relayed = setting.update == "sparse-sum"  # entries of a log reach everybody
    return PEERS - 1 if is_relayed else GRAPHS[setting.graph]


def _graph(setting: Setting) -> "nx.Graph[int]":
    degree = GRAPHS[setting.graph]
    graph = nx.random_regular_graph(degree, PEERS, seed=setting.seed)
    assert nx.is_connected(graph)
    return graph


COUNTS: Final[Mapping[str, tuple[int, ...]]] = {
    name: tuple(sorted({_updates_per_round(Setting(update=name, graph=it)) for it in GRAPHS}))
    for name in UPDATES
}
