"""A few cores in one process, and everything between them as a list of things that may happen.

Nothing happens by itself: the test says which of the possible next things does. Links are
ordered and lose what is on its way when they break; a frame can be handed over twice, as a core
must not mind it.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from p2pfed.core.config import (
    CoreConfig,
    MembershipConfig,
    NeighborAddress,
    ScheduleConfig,
)
from p2pfed.core.effects import (
    AnswerPayload,
    CancelFetch,
    CancelTimer,
    Dial,
    Disconnect,
    DropPayload,
    Effect,
    FetchPayload,
    Notify,
    Save,
    SendFrame,
    SetTimer,
    StartIntegration,
    StartTraining,
    StartValidation,
    StorePayload,
)
from p2pfed.core.events import (
    Command,
    CommandGiven,
    DialFailed,
    Event,
    FrameReceived,
    IntegrationFinished,
    PayloadArrived,
    PayloadFailed,
    PayloadWanted,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TrainingFinished,
    UploadEnded,
    ValidationFinished,
    Verdict,
)
from p2pfed.core.notices import Notice
from p2pfed.core.peer import PeerCore
from p2pfed.core.timers import Timer
from p2pfed.identity import Identity, PeerId
from p2pfed.wire.hashes import content_hash
from tests.core.peers import START_S, address_of, make_config, make_payload

Job = StartTraining | StartIntegration | StartValidation


@dataclass
class Host:
    """One peer: its core, and what its driver would hold."""

    identity: Identity
    config: CoreConfig
    core: PeerCore
    lives: int = 1
    disk: dict[str, bytes] = field(default_factory=dict)
    store: dict[bytes, bytes] = field(default_factory=dict)
    timers: dict[Timer, float] = field(default_factory=dict)
    jobs: deque[Job] = field(default_factory=deque)
    fetches: dict[bytes, FetchPayload] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    answer: AnswerPayload | None = None


class Net:
    """Cores that know each other, each with its own disk.

    Args:
        identities: Of all peers; everybody is configured as everybody's neighbor.
        schedule: Of all peers.
        inline: Whether payloads travel in frames.
    """

    def __init__(
        self, identities: list[Identity], schedule: ScheduleConfig, *, inline: bool
    ) -> None:
        self.now_s = START_S
        self.inline = inline
        self.sent: list[tuple[PeerId, PeerId, bytes]] = []
        self.links: set[frozenset[PeerId]] = set()
        self.wires: dict[tuple[PeerId, PeerId], deque[bytes | type]] = {}
        self.tokens = count(1)
        self.hosts: dict[PeerId, Host] = {}
        for identity in identities:
            edges = tuple(
                NeighborAddress(peer=other.peer, addresses=(address_of(other),))
                for other in identities
                if other is not identity
            )
            config = make_config(schedule=schedule, membership=MembershipConfig(neighbors=edges))
            core = PeerCore(config, identity, entropy=identity.peer)
            self.hosts[identity.peer] = Host(identity=identity, config=config, core=core)
            for other in identities:
                if other is not identity:
                    self.wires[identity.peer, other.peer] = deque()

    # What may happen -----------------------------------------------------------------------

    def arrivals(self) -> list[tuple[PeerId, PeerId]]:
        """Return the wires, as (from, to), on which something can arrive."""
        return [ends for ends, queue in self.wires.items() if queue]

    def arrive(self, source: PeerId, target: PeerId, *, twice: bool = False) -> None:
        """Hand over the next thing on a wire."""
        item = self.wires[source, target].popleft()
        if item is PeerConnected:
            self.do(target, PeerConnected(peer=source))
        elif item is PeerDisconnected:
            self.do(target, PeerDisconnected(peer=source))
        else:
            assert isinstance(item, bytes)
            for _ in range(2 if twice else 1):
                self.do(target, FrameReceived(peer=source, frame=item))

    def workers(self) -> list[PeerId]:
        """Return the peers that have a job or a fetch to finish."""
        return [peer for peer, host in self.hosts.items() if host.jobs or host.fetches]

    def work(self, peer: PeerId) -> None:
        """Finish the oldest fetch or job of a peer."""
        host = self.hosts[peer]
        if host.fetches:
            self._fetch(peer, host.fetches.pop(next(iter(host.fetches))))
        else:
            self._finish(peer, host, host.jobs.popleft())

    def pass_time(self) -> None:
        """Let the next timer of all fire."""
        due = [
            (due_s, timer.generation, peer)
            for peer, host in self.hosts.items()
            for timer, due_s in host.timers.items()
        ]
        if not due:
            return
        due_s, generation, peer = min(due)
        self.now_s = max(self.now_s, due_s)
        (timer,) = [t for t in self.hosts[peer].timers if t.generation == generation]
        del self.hosts[peer].timers[timer]
        self.do(peer, TimerFired(timer=timer))

    def connect(self, one: PeerId, other: PeerId) -> None:
        """Open a link; both ends learn of it in their time."""
        if frozenset((one, other)) not in self.links:
            self.links.add(frozenset((one, other)))
            self.wires[one, other].append(PeerConnected)
            self.wires[other, one].append(PeerConnected)

    def cut(self, one: PeerId, other: PeerId) -> None:
        """Break a link; what is on its way is lost."""
        if frozenset((one, other)) in self.links:
            self.links.remove(frozenset((one, other)))
            for ends in ((one, other), (other, one)):
                kept = [item for item in self.wires[ends] if not isinstance(item, bytes)]
                self.wires[ends] = deque([*kept, PeerDisconnected])

    def restart(self, peer: PeerId, *, loses_disk: bool = False) -> None:
        """Kill a peer and start it from its disk, in training again at once."""
        host = self.hosts[peer]
        for other in self.hosts:
            if other != peer:
                self.cut(peer, other)
                self.wires[other, peer].clear()
        if loses_disk:
            host.disk, host.store = {}, {}
        host.lives += 1
        host.timers, host.jobs, host.fetches = {}, deque(), {}
        entropy = peer + host.lives.to_bytes(4, "big")
        host.core = PeerCore(host.config, host.identity, entropy=entropy, records=host.disk)
        own = host.core.own_payload()
        if own is not None and own.inline is not None:
            host.store[own.content_hash] = own.inline
        self.do(peer, CommandGiven(command=Command.START))

    def settle(self, steps_max: int) -> None:
        """Let everything happen in order, time last, until all have left."""
        for _ in range(steps_max):
            if self.arrivals():
                self.arrive(*self.arrivals()[0])
            elif self.workers():
                self.work(self.workers()[0])
            elif all(not host.timers for host in self.hosts.values()):
                return
            else:
                self.pass_time()

    # Drivers -------------------------------------------------------------------------------

    def do(self, peer: PeerId, event: Event) -> None:
        """Hand an event to a core and start its effects."""
        for effect in self.hosts[peer].core.handle(event, now_s=self.now_s):
            self._start(peer, self.hosts[peer], effect)

    def _start(self, peer: PeerId, host: Host, effect: Effect) -> None:
        match effect:
            case SendFrame():
                self._send(peer, effect.peer, effect.frame)
            case SetTimer():
                host.timers[effect.timer] = self.now_s + effect.delay_s
            case CancelTimer():
                del host.timers[effect.timer]
            case Dial():
                if effect.peer in self.hosts:
                    self.connect(peer, effect.peer)
                else:
                    self.do(peer, DialFailed(peer=effect.peer, reason="no such peer"))
            case Disconnect():
                self._close(peer, effect.peer)
            case Save():
                for record in effect.records:
                    if record.value is None:
                        host.disk.pop(record.key, None)
                    else:
                        host.disk[record.key] = record.value
            case StorePayload():
                host.store[effect.content_hash] = effect.payload
            case DropPayload():
                host.store.pop(effect.content_hash, None)
            case FetchPayload():
                assert effect.content_hash not in host.fetches
                host.fetches[effect.content_hash] = effect
            case CancelFetch():
                host.fetches.pop(effect.content_hash, None)
            case AnswerPayload():
                host.answer = effect
            case StartTraining() | StartIntegration() | StartValidation():
                host.jobs.append(effect)
            case Notify():
                host.notices.append(effect.notice)
            case _:
                pass  # a cancelled job answers with its result all the same

    def _send(self, source: PeerId, target: PeerId, frame: bytes) -> None:
        self.sent.append((source, target, frame))
        if frozenset((source, target)) in self.links:
            self.wires[source, target].append(frame)

    def _close(self, peer: PeerId, other: PeerId) -> None:
        """Close a link after what was sent on it; what comes the other way is lost."""
        if frozenset((peer, other)) in self.links:
            self.links.remove(frozenset((peer, other)))
            self.wires[peer, other].append(PeerDisconnected)
            kept = [item for item in self.wires[other, peer] if not isinstance(item, bytes)]
            self.wires[other, peer] = deque([*kept, PeerDisconnected])

    def _fetch(self, peer: PeerId, effect: FetchPayload) -> None:
        server = self.hosts.get(effect.peer)
        payload = None
        if server is not None and frozenset((peer, effect.peer)) in self.links:
            token = next(self.tokens)
            self.do(
                effect.peer,
                PayloadWanted(
                    peer=peer,
                    token=token,
                    content_hash=effect.content_hash,
                    offset=effect.offset,
                ),
            )
            assert server.answer is not None
            assert server.answer.token == token
            if server.answer.offset is not None:
                payload = server.store.get(effect.content_hash)
                self.do(effect.peer, UploadEnded(peer=peer, token=token))
        if payload is None:
            event: Event = PayloadFailed(
                peer=effect.peer, content_hash=effect.content_hash, bytes_done=0, offence=None
            )
        else:
            assert len(payload) == effect.size_bytes
            self.hosts[peer].store[effect.content_hash] = payload
            event = PayloadArrived(content_hash=effect.content_hash)
        self.do(peer, event)

    def _finish(self, peer: PeerId, host: Host, job: Job) -> None:
        match job:
            case StartTraining():
                data = b"model of %d in round %d, life %d" % (peer[0], job.round, host.lives)
                host.store[content_hash(data)] = data
                payload = make_payload(data, inline=self.inline)
                self.do(peer, TrainingFinished(job=job.job, payload=payload, loss=0.5, examples=1))
            case StartIntegration():
                for row in job.rows:
                    assert row.header.payload_hash in host.store  # else the job would fail
                weight = 1.0 / (len(job.rows) + 1)
                verdicts = tuple(
                    Verdict(peer=row.peer, weight=weight, reason="") for row in job.rows
                )
                self.do(
                    peer,
                    IntegrationFinished(job=job.job, verdicts=verdicts, own_weight=weight),
                )
            case StartValidation():
                assert job.header.payload_hash in host.store
                self.do(peer, ValidationFinished(job=job.job, offence=None))
