"""Frames from neighbors: counted, decoded, and passed to the part that they concern."""

from typing import Final, assert_never, final, get_args

from p2pfed.core.anti_entropy import AntiEntropy
from p2pfed.core.dialing import Dialing
from p2pfed.core.dissemination import Dissemination
from p2pfed.core.equivocation import Equivocation
from p2pfed.core.events import FrameReceived, OffenceKind
from p2pfed.core.membership import Membership
from p2pfed.core.neighbors import Link, Neighbor, Neighbors
from p2pfed.core.outbox import Outbox
from p2pfed.errors import LimitExceeded, RemoteError, SpecMismatch
from p2pfed.identity import PeerId
from p2pfed.limits import Limits
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Goodbye,
    GoodbyeReason,
    Heads,
    Heartbeat,
    Hello,
    Message,
    PeerRecords,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
)
from p2pfed.wire.reading import Reader

_RECEIVED: Final = {kind: f"received.{kind.__name__}" for kind in get_args(Message)}


@final
class Inbox:
    """The one place where bytes of peers become messages, and errors in them offences."""

    def __init__(
        self,
        limits: Limits,
        neighbors: Neighbors,
        membership: Membership,
        dialing: Dialing,
        dissemination: Dissemination,
        anti_entropy: AntiEntropy,
        equivocation: Equivocation,
        outbox: Outbox,
        reader: Reader,
    ) -> None:
        self._limits = limits
        self._neighbors = neighbors
        self._membership = membership
        self._dialing = dialing
        self._dissemination = dissemination
        self._anti_entropy = anti_entropy
        self._equivocation = equivocation
        self._outbox = outbox
        self._reader = reader

    def handle_frame(self, event: FrameReceived, now_s: float, *, is_active: bool) -> None:
        """Take a frame; whatever is wrong with it is its sender's offence."""
        neighbor = self._neighbors.get(event.peer)
        if neighbor is None or not neighbor.is_up:
            self._outbox.count("stale.frame")
            return
        if neighbor.link is Link.GREETED:
            neighbor.heard_s = now_s  # others have to say Hello in time
        try:
            self._take_allowance(neighbor, 1, now_s)
            message = self._decode(neighbor, event.frame)
            if message is None:
                return
            signatures = _signatures(message)
            if signatures:
                self._take_allowance(neighbor, signatures, now_s)
            self._outbox.count(_RECEIVED[type(message)])
            self._on_message(neighbor, message, now_s, is_active=is_active)
        except RemoteError as error:
            self._membership.offend(event.peer, OffenceKind(error.kind), str(error), now_s)

    def _take_allowance(self, neighbor: Neighbor, amount: int, now_s: float) -> None:
        if not neighbor.frames.take(float(amount), now_s):
            raise LimitExceeded(
                f"more than {self._limits.frames_per_s_max} frames and signatures per second"
            )

    def _decode(self, neighbor: Neighbor, frame: bytes) -> Message | None:
        """Return the message of a frame, or None when it does not count."""
        try:
            message = self._reader.decode(frame)
        except SpecMismatch as error:
            if neighbor.link is not Link.CONNECTED:
                raise
            # Another version of the protocol is no offence.
            self._membership.refuse(neighbor.peer, GoodbyeReason.VERSION_MISMATCH, str(error))
            return None
        if neighbor.link is Link.CONNECTED and not isinstance(message, Hello | Goodbye):
            # Meant for the connection before this one: its sender has not yet learned of the new.
            self._outbox.count("ignored.before-hello")
            return None
        return message

    def _on_hello(self, peer: PeerId, hello: Hello, now_s: float, *, is_active: bool) -> None:
        if self._membership.on_hello(peer, hello):
            if hello.newest_of_yours is not None:
                self._dissemination.on_claim(*hello.newest_of_yours, now_s)
            self._anti_entropy.greet(peer, is_active=is_active)
            self._equivocation.tell(peer, now_s)

    def _on_message(
        self, neighbor: Neighbor, message: Message, now_s: float, *, is_active: bool
    ) -> None:
        peer = neighbor.peer
        match message:
            case Hello():
                self._on_hello(peer, message, now_s, is_active=is_active)
            case Announce():
                self._dissemination.on_update(peer, message.update, None, now_s)
            case Deliver():
                self._dissemination.on_update(peer, message.update, message.payload, now_s)
            case Heads():
                self._anti_entropy.on_heads(peer, message, now_s)
            case RequestUpdates():
                self._anti_entropy.on_request_updates(peer, message, now_s)
            case RequestRange():
                self._anti_entropy.on_request_range(peer, message, now_s)
            case RequestFull():
                self._anti_entropy.on_request_full(peer, message, now_s)
            case RequestHeads():
                self._anti_entropy.on_request_heads(peer, message, now_s)
            case Heartbeat():
                neighbor.is_active = message.active
                self._anti_entropy.on_sightings(peer, message.sightings, now_s)
            case Evidence():
                self._equivocation.on_evidence(message)
            case PeerRecords():
                self._dialing.on_peer_records(peer, message)
            case Goodbye():
                self._membership.on_goodbye(peer, message)
            case _:
                assert_never(message)


def _signatures(message: Message) -> int:
    """Return how many signatures may have to be verified because of a message."""
    match message:
        case Announce() | Deliver():
            return 1
        case Evidence():
            return 2
        case PeerRecords():
            return len(message.records)
        case _:
            return 0
