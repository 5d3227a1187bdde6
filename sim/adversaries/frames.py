"""Protocol attacks on the control stream: garbage, old frames, two updates under one number."""

import random
from collections import deque
from collections.abc import Sequence
from typing import Final, final

from msgspec.structs import replace
from typing_extensions import override

from p2pfed.identity import Identity, PeerId
from p2pfed.messages import Announce, Deliver, Hello
from p2pfed.wire import frames, headers
from p2pfed.wire.hashes import content_hash
from sim.adversaries.adversary import Adversary

# Frames remembered for replaying.
_LATE_MAX: Final = 64  # guess: two rounds of a busy peer
_EVER_MAX: Final = 256  # guess: some of every round of a small world
_AFTER_HELLO: Final = 8  # guess: far fewer than a neighbor takes at once

# Second byte of a frame, its tag.
_HELLO_TAG: Final = next(form.tag for form in frames.FORMS if form.message is Hello)


@final
class Garbage(Adversary):
    """Adds, now and then, random bytes or a damaged copy to what the core sends.

    Args:
        generator: Decides.
        ratio: Share of frames that are followed by garbage.
    """

    def __init__(self, generator: random.Random, ratio: float = 0.2) -> None:
        self._random = generator
        self._ratio = ratio

    @override
    def frames_to_send(self, peer: PeerId, frame: bytes) -> Sequence[bytes]:
        if self._random.random() >= self._ratio:
            return (frame,)
        if self._random.random() < 0.5:
            return frame, self._random.randbytes(self._random.randrange(200))
        damaged = bytearray(frame)
        damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return frame, bytes(damaged)


@final
class Replay(Adversary):
    """Sends frames again that others or it itself sent at any time, to whoever is there.

    Half of them are of late, half of all that it ever sent or heard: of earlier rounds and earlier
    connections, of lives that others have left behind, and of its own. Greetings are followed by
    some, so that a new connection begins with what is over.

    Args:
        generator: Decides.
        ratio: Share of frames that are followed by an old one.
    """

    def __init__(self, generator: random.Random, ratio: float = 0.2) -> None:
        self._random = generator
        self._ratio = ratio
        self._late: deque[bytes] = deque(maxlen=_LATE_MAX)
        self._ever: list[bytes] = []
        self._count = 0

    @override
    def frame_received(self, peer: PeerId, frame: bytes) -> None:
        self._remember(frame)

    @override
    def frames_to_send(self, peer: PeerId, frame: bytes) -> Sequence[bytes]:
        sent = [frame]
        if frame[1] == _HELLO_TAG:
            sent += self._random.choices(self._ever, k=_AFTER_HELLO) if self._ever else []
        elif self._ever and self._random.random() < self._ratio:
            among = self._late if self._random.random() < 0.5 else self._ever
            sent.append(self._random.choice(among))
        self._remember(frame)
        return sent

    def _remember(self, frame: bytes) -> None:
        self._late.append(frame)
        self._count += 1
        if len(self._ever) < _EVER_MAX:
            self._ever.append(frame)
            return
        # Vitter's algorithm R: each frame so far is there with the same chance.
        place = self._random.randrange(self._count)
        if place < _EVER_MAX:
            self._ever[place] = frame


@final
class Equivocation(Adversary):
    """Tells every second neighbor of another update under the same sequence number.

    Args:
        identity: The peer's own; it signs both.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._is_deceived: dict[PeerId, bool] = {}

    @override
    def frames_to_send(self, peer: PeerId, frame: bytes) -> Sequence[bytes]:
        is_deceived = self._is_deceived.setdefault(peer, len(self._is_deceived) % 2 == 1)
        message = frames.decode(frame)
        is_own = (
            isinstance(message, Announce | Deliver)
            and message.update.header.author == self._identity.peer
        )
        if not is_deceived or not is_own:
            return (frame,)
        assert isinstance(message, Announce | Deliver)
        header = message.update.header
        if isinstance(message, Announce):  # the other payload need not exist for the lie
            other = replace(header, payload_hash=content_hash(header.payload_hash))
            return (frames.encode(Announce(update=headers.sign(other, self._identity))),)
        payload = message.payload[:-1] + bytes([message.payload[-1] ^ 1])
        other = replace(header, payload_hash=content_hash(payload))
        signed = headers.sign(other, self._identity)
        return (frames.encode(Deliver(update=signed, payload=payload)),)
