"""`Node`: drives one `PeerCore` with real time, a real network, a disk and threads."""

import dataclasses
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import assert_never, final

import trio

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import (
    AnswerPayload,
    CancelFetch,
    CancelJob,
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
    PayloadWanted,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    UploadEnded,
)
from p2pfed.core.notices import Left, Notice
from p2pfed.core.peer import PeerCore, PeerStatus
from p2pfed.core.standing import NeighborStanding
from p2pfed.core.timers import Timer
from p2pfed.errors import LocalError, TransportError
from p2pfed.identity import Identity, PeerId
from p2pfed.learn.privacy.guard import PrivacySpent
from p2pfed.limits import ADDRESSES_MAX, FRAME_BYTES_MAX
from p2pfed.node.clock import Clock
from p2pfed.node.fetching import Fetcher
from p2pfed.node.jobs import Bench, JobRunner
from p2pfed.node.payload_store import PayloadStore
from p2pfed.node.recording import Recorder, RecordFile
from p2pfed.node.store import StateStore
from p2pfed.node.transport import (
    Frame,
    LinkDown,
    LinkUp,
    Oversized,
    PayloadSource,
    Traffic,
    Transport,
)

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 4  # of the payload bytes allowed, one in so many stays in memory
_LINK_EVENTS_MAX = 1_024  # guess: enough for a burst; beyond it the network waits


@final
class Node:
    """One peer on this machine.

    Args:
        config: What the protocol is told.
        identity: Its key.
        genesis: The encoded genesis, served to newcomers.
        bench: Does the learning.
        transport: Its network; the node runs it.
        state: Open state folder.
        on_notice: Called on the trio thread with everything that the application may want to know.
        record: Takes what enters and leaves the core; None to record nothing.
    """

    def __init__(
        self,
        *,
        config: CoreConfig,
        identity: Identity,
        genesis: bytes,
        bench: Bench,
        transport: Transport,
        state: StateStore,
        on_notice: Callable[[Notice], None],
        record: RecordFile | None = None,
    ) -> None:
        self._config = config
        self._genesis = genesis
        self._bench = bench
        self._transport = transport
        self._state = state
        self._on_notice = on_notice
        self._record = record
        self._recorder: Recorder | None = None
        self._clock = Clock()
        self._identity = identity
        self._core: PeerCore | None = None  # made in `begin`, once the own addresses are known
        self._begun = trio.Event()
        self._restored = trio.Event()
        self._payloads = _open_payloads(state.folder, config)
        # What comes from inside is bounded by what the core asked for; links take a slot each.
        self._events_in, self._events_out = trio.open_memory_channel[Event](math.inf)
        self._link_slots = trio.Semaphore(_LINK_EVENTS_MAX)
        self._jobs = JobRunner(bench, self._payloads, self._deliver)
        self._fetcher = Fetcher(transport, self._payloads, self._deliver)
        self._timers: dict[Timer, trio.CancelScope] = {}
        self._answers: dict[int, trio.MemorySendChannel[AnswerPayload]] = {}
        self._closing: dict[PeerId, trio.Event] = {}
        self._token = 0
        self._left = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def peer(self) -> PeerId:
        """Who this node is."""
        return self._identity.peer

    def status(self) -> PeerStatus:
        """Return the protocol's summary.

        Raises:
            LocalError: Before the node runs.
        """
        if self._core is None:
            raise LocalError("the node does not run yet")
        return self._core.status()

    def standings(self) -> tuple[NeighborStanding, ...] | None:
        """Return what neighbors have earned; None where reputation is off or the node not on."""
        return None if self._core is None else self._core.standings()

    def privacy_spent(self) -> PrivacySpent | None:
        """Return what was told about training rows so far; None where nobody counts."""
        return self._bench.privacy_spent

    def traffic(self) -> Traffic:
        """Return bytes on the wire so far."""
        return self._transport.traffic()

    def addresses(self) -> list[str]:
        """Return multiaddresses under which others can dial this node."""
        return [*self._transport.addresses(), *self._transport.loopback_addresses()]

    def begin(self, *, rounds_max: int | None = None) -> None:
        """Start taking part.

        Args:
            rounds_max: Replaces the configured number of rounds.
        """
        if rounds_max is not None:
            schedule = dataclasses.replace(self._config.schedule, rounds_max=rounds_max)
            self._config = dataclasses.replace(self._config, schedule=schedule)
        self._begun.set()
        self.command(Command.START)

    async def wait_begun(self) -> None:
        """Wait until the peer has taken up its saved state."""
        await self._restored.wait()

    def command(self, command: Command) -> None:
        """Pass on what the application or operator wants; never waits."""
        self._deliver(CommandGiven(command=command))

    async def wait_left(self) -> None:
        """Wait until the peer has said goodbye."""
        await self._left.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, take part once told to begin, and run until the peer leaves or is cancelled.

        Raises:
            TransportError: If an address cannot be listened on.
            LocalError: If the state folder does not fit this run.
            ConfigError: If what it says of privacy does not fit the run file.
        """
        async with self._transport.run(self._serve_payload), trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await self._begun.wait()
            self._core = await trio.to_thread.run_sync(self._restore)
            self._restored.set()
            nursery.start_soon(self._jobs.run)
            nursery.start_soon(self._pump_links)
            try:
                await self._pump_events(self._core)
            finally:
                self._jobs.cancel_all()
                nursery.cancel_scope.cancel()

    # The loop ------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        self._events_in.send_nowait(event)

    async def _pump_events(self, core: PeerCore) -> None:
        handle = core.handle if self._recorder is None else self._recorder.handle
        async for event in self._events_out:
            for effect in handle(event, now_s=self._clock.now_s()):
                await self._start(effect)
            if isinstance(event, FrameReceived | PeerConnected | PeerDisconnected):
                self._link_slots.release()
            if self._left.is_set():
                if self._recorder is not None:
                    self._recorder.end()
                return

    async def _start(self, effect: Effect) -> None:
        assert self._nursery is not None
        match effect:
            case SendFrame():
                self._transport.send(effect.peer, effect.frame)
            case SetTimer():
                self._nursery.start_soon(self._run_timer, effect.timer, effect.delay_s)
            case CancelTimer():
                scope = self._timers.pop(effect.timer, None)
                if scope is not None:
                    scope.cancel()
            case Dial():
                self._nursery.start_soon(self._dial, effect)
            case Disconnect():
                await self._disconnect(effect)
            case Save():
                await trio.to_thread.run_sync(self._save, effect)
            case StorePayload():
                await self._store_payload(effect)
            case DropPayload():
                self._payloads.drop(effect.content_hash)
            case FetchPayload():
                self._nursery.start_soon(self._fetcher.fetch, effect)
            case CancelFetch():
                self._fetcher.cancel(effect.content_hash)
            case AnswerPayload():
                waiting = self._answers.pop(effect.token, None)
                if waiting is not None:
                    waiting.send_nowait(effect)
            case StartValidation() | StartTraining() | StartIntegration():
                self._jobs.start(effect)
            case CancelJob():
                self._jobs.cancel(effect.job)
            case Notify():
                await self._notify(effect.notice)
            case _:
                assert_never(effect)

    async def _store_payload(self, effect: StorePayload) -> None:
        try:
            await trio.to_thread.run_sync(self._payloads.put, effect.content_hash, effect.payload)
        except LocalError as error:
            _log.warning("%s", error)  # its validation will fail, and nothing else

    async def _notify(self, notice: Notice) -> None:
        self._on_notice(notice)
        if isinstance(notice, Left):
            # Goodbyes are on their way: let the closing connections send them.
            with trio.move_on_after(1.0):
                for closed in list(self._closing.values()):
                    await closed.wait()
            self._left.set()

    async def _run_timer(self, timer: Timer, delay_s: float) -> None:
        with trio.CancelScope() as scope:
            self._timers[timer] = scope
            await trio.sleep(delay_s)
            self._timers.pop(timer, None)
            self._deliver(TimerFired(timer=timer))

    # Network -------------------------------------------------------------------------------

    async def _pump_links(self) -> None:
        async for link_event in self._transport.events():
            match link_event:
                case LinkUp():
                    event: Event = PeerConnected(
                        peer=link_event.peer, remote_address=link_event.remote_address
                    )
                case LinkDown():
                    event = PeerDisconnected(peer=link_event.peer)
                case Frame():
                    event = FrameReceived(peer=link_event.peer, frame=link_event.data)
                case Oversized():
                    # The core refuses it by size alone, which makes it the sender's offence.
                    event = FrameReceived(peer=link_event.peer, frame=bytes(FRAME_BYTES_MAX + 1))
                case _:
                    assert_never(link_event)
            await self._link_slots.acquire()
            self._deliver(event)

    async def _dial(self, effect: Dial) -> None:
        closing = self._closing.get(effect.peer)
        if closing is not None:
            await closing.wait()  # else the old connection would be taken for the new one
        try:
            await self._transport.dial(effect.peer, effect.addresses)
        except TransportError as error:
            _log.info("%s", error)
            self._deliver(DialFailed(peer=effect.peer, reason=str(error)))

    async def _disconnect(self, effect: Disconnect) -> None:
        assert self._nursery is not None
        _log.info("closing the connection to %s: %s", effect.peer.hex()[:8], effect.reason)
        if effect.peer in self._closing:
            return
        self._closing[effect.peer] = trio.Event()
        self._nursery.start_soon(self._close_link, effect.peer)

    async def _close_link(self, peer: PeerId) -> None:
        try:
            await self._transport.disconnect(peer)
        finally:
            self._closing.pop(peer).set()

    async def _serve_payload(
        self, peer: PeerId, content_hash: bytes, offset: int
    ) -> PayloadSource | str:
        self._token += 1
        token = self._token

        def close() -> None:
            self._deliver(UploadEnded(peer=peer, token=token))

        answer_in, answer_out = trio.open_memory_channel[AnswerPayload](1)
        self._answers[token] = answer_in
        self._deliver(
            PayloadWanted(peer=peer, token=token, content_hash=content_hash, offset=offset)
        )
        try:
            answer = await answer_out.receive()
        except trio.Cancelled:
            close()  # handled after the request, which has been queued before it
            raise
        finally:
            self._answers.pop(token, None)
        if answer.offset is None:
            return answer.refusal
        try:
            payload = await trio.to_thread.run_sync(self._read_payload, content_hash)
        except LocalError as error:
            close()
            return str(error)
        except trio.Cancelled:
            close()
            raise
        whole = PayloadSource.from_bytes(payload)
        return PayloadSource(size_bytes=whole.size_bytes, read=whole.read, close=close)

    def _read_payload(self, content_hash: bytes) -> bytes:
        if content_hash == self._config.run_id:
            return self._genesis
        return self._payloads.get(content_hash)

    # Disk ----------------------------------------------------------------------------------

    def _save(self, effect: Save) -> None:
        model = None if effect.model_job is None else self._bench.save()
        self._state.save(
            effect.records, model=model, model_job=effect.model_job, best=effect.best_model
        )

    def _restore(self) -> PeerCore:
        membership = self._config.membership
        if not membership.announce:
            # Loopback is told to others only where there is nothing else to tell.
            found = self._transport.addresses() or self._transport.loopback_addresses()
            places = tuple(address.split("/p2p/")[0] for address in found[:ADDRESSES_MAX])
            membership = dataclasses.replace(membership, announce=places)
        core = self._restore_core(dataclasses.replace(self._config, membership=membership))
        model = self._state.last_model()
        if model is not None:
            self._bench.load(model)
        own = core.own_payload()
        if own is not None:
            self._payloads.remove_others({own.content_hash})
            if own.inline is not None:
                self._payloads.put(own.content_hash, own.inline)
            elif not self._payloads.load_saved(own.content_hash):
                _log.warning("the newest own payload is gone; neighbors wait for the next update")
        return core

    def _restore_core(self, config: CoreConfig) -> PeerCore:
        records, entropy = self._state.records(), os.urandom(32)
        try:
            if self._record is None:
                return PeerCore(config, self._identity, entropy=entropy, records=records)
            self._recorder = Recorder(
                self._record.write, config, self._identity, entropy=entropy, records=records
            )
            return self._recorder.core
        except LocalError as error:
            raise LocalError(f"cannot go on from {self._state.path}: {error}") from error


def _open_payloads(folder: Path, config: CoreConfig) -> PayloadStore:
    total = config.limits.payload_store_bytes_max
    return PayloadStore(
        folder / "payloads", memory_bytes_max=total // _MEMORY_SHARE, total_bytes_max=total
    )
