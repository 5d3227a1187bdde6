"""`PeerCore`: the whole protocol of a peer, as one function from events to effects."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import assert_never, final

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import Effect
from p2pfed.core.events import (
    Command,
    CommandGiven,
    DialFailed,
    Event,
    FrameReceived,
    IntegrationFinished,
    JobFailed,
    PayloadArrived,
    PayloadFailed,
    PayloadReference,
    PayloadWanted,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TrainingFinished,
    UploadEnded,
    ValidationFinished,
)
from p2pfed.core.notices import Left, StopReason
from p2pfed.core.parts import assemble
from p2pfed.core.schedule import Phase
from p2pfed.core.standing import NeighborStanding
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId, Signer
from p2pfed.wire.reading import PLAIN, Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """A peer at a glance.

    Attributes:
        phase: What it is doing.
        round: Its current round, from 0.
        sequence: Sequence of its newest own update, 0 before the first.
        neighbors: Greeted neighbors.
        model_job: Job whose model is current, None before the first.
        counters: How often things happened since the start.
    """

    phase: Phase
    round: int
    sequence: int
    neighbors: tuple[PeerId, ...]
    model_job: int | None
    counters: Mapping[str, int]


@final
class PeerCore:
    """The protocol of one peer. Bytes in, bytes out; no IO, no clock, no torch.

    The contract of `handle`:

    1. It returns effects in the order in which the driver must start them, and never raises for
       anything that a peer sent.
    2. It is total over `Event`: a new event type fails type checking until it is handled.
    3. Handling the same `FrameReceived` twice changes nothing the second time, save counters and
       last-heard times.
    4. It returns at most `limits.effects_per_event_max` effects, and memory stays below
       `limits.memory_bytes_max` under any input.
    5. A timer that was replaced or an answer to an unknown job is ignored and counted.
    6. Equal snapshots, events, times and random states give equal effects.
    7. `restore(snapshot())` cannot be told from the original by any later event.

    Args:
        config: What this peer was told.
        identity: Its key.
        entropy: Seed of its random numbers (incarnation, jitter), 32 bytes; fresh in each life.
        records: What earlier lives of this peer saved, by key.
        reader: Decodes frames and checks signatures.

    Raises:
        ConfigError: If the configured neighbors cannot be, or some recipients are not enough.
        LocalError: If a saved record is damaged, or of another run or identity.
    """

    def __init__(
        self,
        config: CoreConfig,
        identity: Signer,
        *,
        entropy: bytes,
        records: Mapping[str, bytes] | None = None,
        reader: Reader = PLAIN,
    ) -> None:
        self._config = config
        self._identity = identity
        self._parts = assemble(
            config, identity, entropy=entropy, records=records or {}, reader=reader
        )
        self._now_s = 0.0

    @property
    def peer(self) -> PeerId:
        """Who this is."""
        return self._identity.peer

    def handle(self, event: Event, *, now_s: float) -> list[Effect]:
        """Take one event and return what is to be done; see the class for the contract.

        Args:
            event: What happened.
            now_s: Seconds since the epoch, counted on by a clock that is never set: neighbors
                must not fall silent because somebody corrects the time of day. A time before the
                last one is taken to be the last one.
        """
        self._now_s = max(self._now_s, float(now_s))
        was_active = self._parts.schedule.is_active
        self._dispatch(event, was_active=was_active)
        self._settle()
        schedule = self._parts.schedule
        if was_active and not schedule.is_active and schedule.phase is not Phase.LEFT:
            self._parts.anti_entropy.send_heartbeats(is_active=False)
        effects = self._parts.outbox.drain()
        assert len(effects) <= self._config.limits.effects_per_event_max
        return effects

    def status(self) -> PeerStatus:
        """Return a summary for people and tests."""
        return PeerStatus(
            phase=self._parts.schedule.phase,
            round=self._parts.journal.progress.round,
            sequence=self._parts.own.sequence,
            neighbors=tuple(self._parts.neighbors.greeted_peers()),
            model_job=self._parts.journal.progress.model_job,
            counters=dict(sorted(self._parts.outbox.counters.items())),
        )

    def standings(self) -> tuple[NeighborStanding, ...] | None:
        """Return what neighbors have earned; None where reputation is switched off."""
        return self._parts.standing.told()

    def own_payload(self) -> PayloadReference | None:
        """Return the payload of the newest own update, which the driver must be able to serve."""
        newest = self._parts.own.newest
        if newest is None:
            return None
        header = newest.signed.header
        return PayloadReference(
            content_hash=header.payload_hash,
            size_bytes=header.payload_bytes,
            inline=newest.inline,
        )

    def snapshot(self) -> "Snapshot":
        """Return the whole state, independent of what this peer does next.

        Raises:
            LocalError: If the core is compiled: nothing can copy what it holds.
        """
        if is_compiled():
            raise LocalError("a compiled core has no snapshots: install the wheel of plain Python")
        return Snapshot(_core=copy.deepcopy(self))

    @staticmethod
    def restore(snapshot: "Snapshot") -> "PeerCore":
        """Return a peer that goes on from a snapshot."""
        return copy.deepcopy(snapshot._core)

    # Events --------------------------------------------------------------------------------

    def _dispatch(self, event: Event, *, was_active: bool) -> None:
        parts, now_s = self._parts, self._now_s
        match event:
            case FrameReceived():
                parts.inbox.handle_frame(event, now_s, is_active=was_active)
            case ValidationFinished():
                if not parts.transfers.handle_validated(event, now_s):
                    parts.outbox.count("stale.job")
            case PeerConnected():
                address = event.remote_address
                parts.membership.handle_connected(event.peer, now_s, remote_address=address)
            case PeerDisconnected():
                parts.membership.handle_disconnected(event.peer, "connection lost")
            case DialFailed():
                parts.membership.handle_dial_failed(event.peer, event.reason)
            case TimerFired():
                if parts.outbox.accept_timer(event.timer):
                    self._handle_timer(event.timer)
            case PayloadArrived():
                parts.transfers.handle_arrived(event.content_hash)
            case PayloadFailed():
                parts.transfers.handle_failed(event, now_s)
            case PayloadWanted():
                parts.uploads.handle_wanted(event)
            case UploadEnded():
                parts.uploads.handle_ended(event.token)
            case TrainingFinished():
                parts.schedule.handle_trained(event, now_s)
            case IntegrationFinished():
                parts.schedule.handle_integrated(event, now_s)
            case JobFailed():
                if not parts.transfers.handle_validation_failed(event.job):
                    parts.schedule.handle_failed(event, now_s)
            case CommandGiven():
                self._handle_command(event.command)
            case _:
                assert_never(event)

    def _settle(self) -> None:
        """Let the parts go on with whatever the event has made possible."""
        parts = self._parts
        if parts.schedule.phase is Phase.LEFT:
            return
        while parts.neighbors.has_gone or parts.held.has_pending:
            for peer in parts.neighbors.take_gone():
                parts.dissemination.forget(peer)
                parts.anti_entropy.forget(peer)
                parts.rows.forget(peer)
            parts.transfers.advance(self._now_s)
            if not parts.neighbors.has_gone:
                break  # else one was banned for what it announced
        parts.schedule.consider(self._now_s)

    def _handle_command(self, command: Command) -> None:
        parts = self._parts
        match command:
            case Command.START:
                if parts.schedule.phase is Phase.IDLE:
                    parts.membership.start(self._identity, self._now_s)
                    parts.schedule.start(self._now_s)
            case Command.STOP:
                parts.schedule.stop(StopReason.COMMAND, self._now_s)
            case Command.LEAVE:
                self._leave()
            case _:
                assert_never(command)

    def _handle_timer(self, timer: Timer) -> None:
        parts = self._parts
        match timer.kind:
            case TimerKind.HEARTBEAT:
                parts.anti_entropy.send_heartbeats(is_active=parts.schedule.is_active)
                parts.membership.handle_heartbeat(self._now_s)
                parts.schedule.handle_heartbeat()
            case TimerKind.REDIAL:
                assert timer.peer is not None
                parts.dialing.handle_redial(timer.peer, self._now_s)
            case TimerKind.START:
                parts.schedule.handle_start_deadline(self._now_s)
            case TimerKind.DEADLINE:
                parts.schedule.handle_deadline(self._now_s)
            case TimerKind.TIME_LIMIT:
                parts.schedule.stop(StopReason.TIME, self._now_s)
            case TimerKind.LINGER:
                self._leave()
            case TimerKind.REFETCH:
                pass  # the payload is not paused any more, so it is fetched with all others
            case TimerKind.RETRY:
                parts.schedule.handle_pause_over(self._now_s)
            case _:
                assert_never(timer.kind)

    def _leave(self) -> None:
        parts = self._parts
        if parts.schedule.phase is not Phase.LEFT:
            parts.schedule.leave()
            parts.membership.leave()
            parts.outbox.notify(Left())


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole state of a `PeerCore`, to be given to `PeerCore.restore`."""

    _core: PeerCore


def is_compiled() -> bool:
    """Return whether this is the core of `make compiled`, and not plain Python."""
    return not isinstance(PeerCore.handle, FunctionType)
