"""Where the parts of a peer put their effects, in the order in which the driver starts them."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, final, get_args

from p2pfed.core.effects import CancelTimer, Effect, Notify, SendFrame, SetTimer
from p2pfed.core.notices import Notice
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.identity import PeerId
from p2pfed.messages import Announce, Deliver, Message, SignedHeader
from p2pfed.wire import frames

FRAMES_PER_OFFER: Final = 2  # as `Inbox` counts: the frame, and the signature in it

_SENT: Final = {kind: f"sent.{kind.__name__}" for kind in get_args(Message)}

_TimerKey = tuple[TimerKind, PeerId | None, bytes | None]


@final
class Outbox:
    """Collects effects, and remembers which timers run.

    Attributes:
        counters: How often things happened, for status and tests; never decides anything.
    """

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._running: dict[_TimerKey, Timer] = {}
        self._generation = 0
        self.counters: Counter[str] = Counter()

    def add(self, effect: Effect) -> None:
        """Append an effect."""
        self._effects.append(effect)

    def send(self, peer: PeerId, message: Message) -> None:
        """Append a `SendFrame` of the message."""
        self.send_all([peer], message)

    def send_all(self, peers: Sequence[PeerId], message: Message) -> None:
        """Append a `SendFrame` of the message to each peer."""
        if peers:
            frame = frames.encode(message)
            self._effects += [SendFrame(peer=peer, frame=frame) for peer in peers]
            self.count(_SENT[type(message)], len(peers))

    def send_frame(self, peer: PeerId, frame: bytes, message: Message) -> None:
        """Append a `SendFrame` of a message that is encoded already."""
        self._effects.append(SendFrame(peer=peer, frame=frame))
        self.count(_SENT[type(message)])

    def notify(self, notice: Notice) -> None:
        """Append a `Notify`."""
        self._effects.append(Notify(notice=notice))

    def count(self, what: str, times: int = 1) -> None:
        """Add to a counter."""
        self.counters[what] += times

    def set_timer(
        self,
        kind: TimerKind,
        delay_s: float,
        *,
        peer: PeerId | None = None,
        content_hash: bytes | None = None,
    ) -> None:
        """Start a timer; one that runs for the same purpose is replaced."""
        self.cancel_timer(kind, peer=peer, content_hash=content_hash)
        self._generation += 1
        timer = Timer(kind=kind, generation=self._generation, peer=peer, content_hash=content_hash)
        self._running[kind, peer, content_hash] = timer
        self._effects.append(SetTimer(timer=timer, delay_s=delay_s))

    def cancel_timer(
        self, kind: TimerKind, *, peer: PeerId | None = None, content_hash: bytes | None = None
    ) -> None:
        """Stop a timer if it runs."""
        timer = self._running.pop((kind, peer, content_hash), None)
        if timer is not None:
            self._effects.append(CancelTimer(timer=timer))

    def has_timer(
        self, kind: TimerKind, *, peer: PeerId | None = None, content_hash: bytes | None = None
    ) -> bool:
        """Return whether a timer runs."""
        return (kind, peer, content_hash) in self._running

    def accept_timer(self, timer: Timer) -> bool:
        """Return whether a timer that fired is one that runs, and count it as over."""
        key = (timer.kind, timer.peer, timer.content_hash)
        if self._running.get(key) != timer:
            self.count("stale.timer")
            return False
        del self._running[key]
        return True

    def drain(self) -> list[Effect]:
        """Return the effects collected so far and start anew."""
        effects, self._effects = self._effects, []
        return effects


def offer_of(signed: SignedHeader, inline: bytes | None) -> Announce | Deliver:
    """Return the message that offers an update: with its payload when that fits into a frame."""
    if inline is None:
        return Announce(update=signed)
    return Deliver(update=signed, payload=inline)
