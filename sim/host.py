"""One simulated machine: does what a node does for its `PeerCore`, in virtual time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, final

from p2pfed.core.effects import (
    AnswerPayload,
    CancelFetch,
    CancelJob,
    CancelTimer,
    Dial,
    Disconnect,
    DropPayload,
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
    Event,
    FrameReceived,
    OffenceKind,
    PayloadArrived,
    PayloadFailed,
    TimerFired,
)
from p2pfed.core.notices import Finished, Left
from p2pfed.core.peer import PeerCore
from p2pfed.core.timers import Timer
from p2pfed.identity import PeerId
from sim.benches import Bench
from sim.clock import Entry
from sim.disk import Disk, SavedModel
from sim.identities import entropy_of, random_for
from sim.jobs import Workshop
from sim.member import Member, Surroundings
from sim.network import Power
from sim.payloads import PayloadShelf
from sim.transfers import Fetch, Served


@final
class Host:
    """Drives one peer through its lives.

    Attributes:
        index: Number of the peer.
        member: Who it is.
        is_honest: Whether it follows the protocol.
        disk: Survives a crash.
        core: The running core; the last one while none runs, None before the first.
        bench: The running life's bench, or the last one's.
        power: Whether the process runs.
        is_done: Whether the running life has stopped training, or the last one had.
        has_given_up: Whether it did so without an end that its disk knows: another life trains on.
        has_left: Whether the peer said goodbye; its process ends once that is on its way.
        shelf: The payload store; survives a crash.
        timers: Running timers.
    """

    def __init__(self, index: int, member: Member, surroundings: Surroundings) -> None:
        self.index = index
        self.member = member
        self.is_honest = member.adversary is None
        self.disk = Disk()
        self.core: PeerCore | None = None
        self.bench: Bench | None = None
        self.power = Power.REFUSING
        self.is_done = False
        self.has_given_up = False
        self.has_left = False
        self.shelf = PayloadShelf(surroundings.pool)
        self.timers: dict[Timer, Entry] = {}
        self._around = surroundings
        self._life = 0
        self._speed_ratio = member.speed_ratio
        self._effects_until_crash: int | None = None
        self._workshop: Workshop | None = None
        self._partials: dict[bytes, list[memoryview]] = {}  # of fetches that may be resumed

    @property
    def peer(self) -> PeerId:
        """Who this is."""
        return self.member.identity.peer

    @property
    def life(self) -> int | None:
        """Which run of its process this is, from 1; None while none runs."""
        return self._life if self.power is Power.RUNNING else None

    @property
    def now_s(self) -> float:
        """Virtual time, in seconds."""
        return self._around.clock.now_s

    @property
    def now_ns(self) -> int:
        """Virtual time, in nanoseconds."""
        return self._around.clock.now_ns

    @property
    def sent_bytes(self) -> int:
        """What it has sent so far, with the framing around it."""
        return self._around.network.sent_bytes_of(self.index)

    # Lives ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a life from what is on disk; nothing happens to a peer that runs."""
        if self.power is Power.RUNNING:
            return
        around = self._around
        assert around.keeps_models or self._life == 0, "this world saves no models to restart from"
        entropy = entropy_of(around.seed, self.index, self._life)
        generator = random_for(around.seed, f"compute/{self.index}/{self._life}")
        self._life += 1
        self.core = self.member.make_core(
            self.member.config, self.member.identity, entropy, self.disk.records()
        )
        self.bench = self.member.make_bench()
        if self.disk.last is not None:
            self.bench.load(self.disk.last.state)
        own = self.core.own_payload()
        self.shelf.keep_only(None if own is None else own.content_hash)
        if own is not None and own.inline is not None:
            self.shelf.put(own.content_hash, own.inline)
        self._workshop = Workshop(
            around.clock,
            self.bench,
            around.compute,
            generator,
            calculator=around.calculator,
            answer=self.deliver,
            shelf=self.shelf,
        )
        self._workshop.speed_ratio = self._speed_ratio
        self._partials.clear()
        self.is_done = self.has_given_up = self.has_left = False
        self.power = Power.RUNNING
        self.deliver(CommandGiven(command=Command.START))

    def crash(self, *, silent: bool = False) -> None:
        """End the process at once; what was saved stays.

        Args:
            silent: The machine itself stops, so that nobody is told.
        """
        if self.power is not Power.RUNNING:
            return
        self._around.trace.add_fault(self._around.clock.now_ns, self.index, "crash")
        self.power = Power.DARK if silent else Power.REFUSING
        self._end_process()

    def crash_after_effects(self, count: int | None) -> None:
        """Crash once so many more effects were started, in the middle of a list; None calls off."""
        self._effects_until_crash = count

    def lose_disk(self) -> None:
        """Forget everything that was saved; the peer must not be running."""
        assert self.power is not Power.RUNNING
        self._around.trace.add_fault(self._around.clock.now_ns, self.index, "lose-disk")
        self.disk = Disk()
        self.shelf.keep_only(None)

    def set_speed(self, speed_ratio: float) -> None:
        """Change how fast the machine is, for jobs that start from now on."""
        self._speed_ratio = speed_ratio
        if self._workshop is not None:
            self._workshop.speed_ratio = speed_ratio

    def _end_process(self) -> None:
        for entry in self.timers.values():
            entry.cancel()
        self.timers.clear()
        self._effects_until_crash = None
        if self._workshop is not None:
            self._workshop.clear()
        resets = self.power is not Power.DARK
        self._around.network.drop_machine(self.index, resets=resets)

    def _leave(self) -> None:
        if self.power is Power.RUNNING and self.has_left:
            self.power = Power.REFUSING
            self._end_process()

    # Events and effects --------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Hand an event to the core and start what it wants."""
        if self.power is not Power.RUNNING:
            return
        assert self.core is not None
        around, member = self._around, self.member
        if member.adversary is not None and isinstance(event, FrameReceived):
            member.adversary.frame_received(event.peer, event.frame)
        around.trace.add_event(around.clock.now_ns, self.index, event)
        own_clock_s = around.clock.now_s * member.clock_rate_ratio + member.clock_ahead_s
        effects = self.core.handle(event, now_s=own_clock_s)
        for event_handled in around.audience.event_handled:
            event_handled(self, event, effects)
        for effect in effects:
            if self._effects_until_crash is not None:
                if self._effects_until_crash == 0:
                    self.crash()
                    return
                self._effects_until_crash -= 1
            BEGINNINGS[type(effect)](self, effect)

    def _cancel_timer(self, effect: CancelTimer) -> None:
        entry = self.timers.pop(effect.timer, None)
        if entry is not None:
            entry.cancel()

    def _dial(self, effect: Dial) -> None:
        self._around.network.dial(self.index, effect.peer)

    def _disconnect(self, effect: Disconnect) -> None:
        self._around.network.disconnect(self.index, effect.peer)

    def _notify(self, effect: Notify) -> None:
        notice = effect.notice
        self.is_done = self.is_done or isinstance(notice, Finished | Left)
        if isinstance(notice, Finished):
            self.has_given_up = notice.reason.is_failure
        if isinstance(notice, Left):
            self.has_left = True
            self._around.clock.after(self._around.network.timing.flush_s, self._leave)
        for notice_given in self._around.audience.notice_given:
            notice_given(self, notice)

    def _validate(self, effect: StartValidation) -> None:
        assert self._workshop is not None
        self._workshop.validate(effect)

    def _train(self, effect: StartTraining) -> None:
        assert self._workshop is not None
        self._workshop.train(effect)

    def _integrate(self, effect: StartIntegration) -> None:
        assert self._workshop is not None
        self._workshop.integrate(effect)

    def _cancel_job(self, effect: CancelJob) -> None:
        assert self._workshop is not None
        self._workshop.cancel(effect.job)

    def _send(self, effect: SendFrame) -> None:
        around = self._around
        peer, frame = effect.peer, effect.frame
        for frame_sent in around.audience.frame_sent:
            frame_sent(self, peer, frame)
        if self.member.adversary is None:
            around.network.send(self.index, peer, frame)
            return
        for other in self.member.adversary.frames_to_send(peer, frame):
            around.network.send(self.index, peer, other)

    def _set_timer(self, effect: SetTimer) -> None:
        delay_s = effect.delay_s / self.member.clock_rate_ratio
        fire = partial(self._fire, effect.timer)
        self.timers[effect.timer] = self._around.clock.after(delay_s, fire)

    def _fire(self, timer: Timer) -> None:
        del self.timers[timer]
        self.deliver(TimerFired(timer=timer))

    def _save(self, effect: Save) -> None:
        model = None
        if effect.model_job is not None and self._around.keeps_models:
            assert self.bench is not None
            model = SavedModel(job=effect.model_job, state=self.bench.save())
        assert self.core is not None
        own = self.core.own_payload()
        self.disk.write(effect, model, None if own is None else own.inline)

    # Payloads ------------------------------------------------------------------------------

    def _store(self, effect: StorePayload) -> None:
        self.shelf.put(effect.content_hash, effect.payload)

    def _drop(self, effect: DropPayload) -> None:
        self.shelf.drop(effect.content_hash)

    def _fetch(self, effect: FetchPayload) -> None:
        kept = self._partials.setdefault(effect.content_hash, [])
        if effect.offset == 0:
            kept.clear()
        assert sum(len(piece) for piece in kept) == effect.offset
        if not self._around.transfers.fetch(self.index, effect):
            failed = PayloadFailed(
                peer=effect.peer,
                content_hash=effect.content_hash,
                bytes_done=effect.offset,
                offence=None,
            )
            self._around.clock.after(0.0, lambda: self.deliver(failed))

    def _cancel_fetch(self, effect: CancelFetch) -> None:
        self._around.transfers.cancel(self.index, effect.content_hash)
        self._partials.pop(effect.content_hash, None)

    def _answer(self, effect: AnswerPayload) -> None:
        self._around.transfers.answer(self.index, effect)

    def serve(self, content_hash: bytes) -> Served | None:
        """Return what to send for a payload that the core allowed; None if it is not here."""
        if content_hash not in self.shelf:
            return None  # its own from before a loss of the disk
        payload = self.shelf.get(content_hash)
        if self.member.adversary is not None:
            return self.member.adversary.served(payload)
        return Served(size_bytes=len(payload), payload=payload)

    def payload_received(self, fetch: Fetch) -> None:
        """Check a payload that came to its end."""
        content_hash = fetch.content_hash
        pieces = [*self._partials.pop(content_hash, []), *fetch.pieces]
        if not self._around.pool.is_genuine(content_hash, pieces):
            self._report_failure(fetch, 0, OffenceKind.PAYLOAD_HASH)
            return
        known = self._around.pool.get(content_hash)
        self.shelf.put(content_hash, b"".join(pieces) if known is None else known)
        self.deliver(PayloadArrived(content_hash=content_hash))

    def fetch_failed(self, fetch: Fetch, offence: OffenceKind | None) -> None:
        """Keep what arrived, and tell the core."""
        kept = self._partials.setdefault(fetch.content_hash, [])
        kept.extend(fetch.pieces)
        self._report_failure(fetch, sum(len(piece) for piece in kept), offence)

    def _report_failure(self, fetch: Fetch, bytes_done: int, offence: OffenceKind | None) -> None:
        self.deliver(
            PayloadFailed(
                peer=self._around.network.peers[fetch.server],
                content_hash=fetch.content_hash,
                bytes_done=bytes_done,
                offence=offence,
            )
        )


# How each effect begins; one look-up, since there are dozens of them in a round of each peer.
BEGINNINGS: Final[Mapping[type, Callable[[Host, Any], None]]] = {
    SendFrame: Host._send,
    SetTimer: Host._set_timer,
    CancelTimer: Host._cancel_timer,
    Dial: Host._dial,
    Disconnect: Host._disconnect,
    Save: Host._save,
    StorePayload: Host._store,
    DropPayload: Host._drop,
    FetchPayload: Host._fetch,
    CancelFetch: Host._cancel_fetch,
    AnswerPayload: Host._answer,
    StartValidation: Host._validate,
    StartTraining: Host._train,
    StartIntegration: Host._integrate,
    CancelJob: Host._cancel_job,
    Notify: Host._notify,
}
