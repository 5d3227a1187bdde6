"""Payload transfers: asked for by hash, served from an offset, chunk by chunk."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, final

from p2pfed.core.effects import AnswerPayload, FetchPayload
from p2pfed.core.events import Event, OffenceKind, PayloadWanted, UploadEnded
from sim.clock import Action, Clock, Entry, nanoseconds
from sim.network import Network
from sim.packets import (
    ConnectionName,
    FetchAbandoned,
    PayloadAnswer,
    PayloadChunk,
    PayloadRequest,
    WindowGrant,
)

CHUNK_BYTES: Final = 65_536  # guess: the unit in which transfers and frames take turns
WINDOW_BYTES: Final = 4 << 20  # on their way at once: what a node's muxer lets a stream have

_GRANT_BYTES: Final = WINDOW_BYTES // 2  # more is granted when so much has come, as in Yamux
_NOTHING: Final = memoryview(b"")
_REQUEST_BYTES: Final = 64  # hash, offset and framing of a request
_ANSWER_BYTES: Final = 16  # size, or a short refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server sends for a payload.

    Attributes:
        size_bytes: The size that it announces.
        payload: The bytes.
    """

    size_bytes: int
    payload: bytes


class Party(Protocol):
    """What transfers need of the machines at both ends."""

    @property
    def life(self) -> int | None:
        """Which run of its program this is; None while none runs."""

    def deliver(self, event: Event) -> None:
        """Take an event."""

    def serve(self, content_hash: bytes) -> Served | None:
        """Return what to send for a payload that the core allowed; None if it is not here."""

    def payload_received(self, fetch: "Fetch") -> None:
        """Take all bytes of a payload, to be checked."""

    def fetch_failed(self, fetch: "Fetch", offence: OffenceKind | None) -> None:
        """Take that a fetch ended before that."""


@dataclass(slots=True, kw_only=True, eq=False)
class Fetch:
    """A payload on its way, as its client knows it.

    Attributes:
        number: The client's name for it.
        connection: What carries it.
        client: Number of the peer that asked.
        server: Number of the peer that was asked.
        content_hash: Of the whole payload.
        size_bytes: Of the whole payload, as the client was told.
        pieces: What has arrived, in order.
        done_bytes: How far the client is, from the beginning of the payload.
        granted_to: How far the server was told that it may go.
        progress_ns: When the client last got a byte.
        watch: Wakes the client when nothing comes.
    """

    number: int
    connection: ConnectionName
    client: int
    server: int
    content_hash: bytes
    size_bytes: int
    pieces: list[memoryview] = field(default_factory=list)
    done_bytes: int
    granted_to: int
    progress_ns: int
    watch: Entry | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Upload:
    """A payload on its way, as its server knows it.

    Attributes:
        token: The server's name for it.
        request: What the client asked for.
        client: Number of the peer that asked.
        server: Number of the peer that serves.
        source: What the server sends.
        position: How far it is.
        allowed_to: How far it may go.
        is_served: Whether it still sends.
        is_stalled: Whether it waits to be told that it may go on.
    """

    token: int
    request: PayloadRequest
    client: int
    server: int
    source: memoryview = _NOTHING
    position: int = 0
    allowed_to: int
    is_served: bool = False
    is_stalled: bool = False


@final
class Transfers:
    """All transfers of a world.

    Args:
        network: Carries them.
        clock: The world's.
    """

    def __init__(self, network: Network, clock: Clock) -> None:
        self.parties: dict[int, Party] = {}  # by number; the world adds them
        self._network = network
        self._clock = clock
        self._idle_ns = nanoseconds(network.timing.idle_s)
        # By client, and then by content hash and by number.
        self._fetches: defaultdict[int, dict[bytes, Fetch]] = defaultdict(dict)
        self._wanted: defaultdict[int, dict[int, Fetch]] = defaultdict(dict)
        # By server, and then by token and by client and the client's number.
        self._uploads: defaultdict[int, dict[int, Upload]] = defaultdict(dict)
        self._asked: defaultdict[int, dict[tuple[int, int], Upload]] = defaultdict(dict)
        self._fetched: defaultdict[int, int] = defaultdict(int)  # how many each peer has begun
        self._tokens: defaultdict[int, int] = defaultdict(int)  # that each peer has given
        network.add_tenant(
            self,
            {
                PayloadRequest: self._take_request,
                PayloadAnswer: self._take_answer,
                PayloadChunk: self._take_chunk,
                WindowGrant: self._take_grant,
                FetchAbandoned: self._take_abandoned,
            },
        )

    # For the driver of a peer --------------------------------------------------------------

    def fetch(self, client: int, effect: FetchPayload) -> bool:
        """Ask a peer for a payload; return False when there is no connection to it."""
        end = self._network.connection(client, effect.peer)
        if end is None:
            return False
        known = self._fetches[client].get(effect.content_hash)
        assert known is None or not self._is_wanted(known)  # what is left may be of an earlier life
        self._fetched[client] += 1
        fetch = Fetch(
            number=self._fetched[client],
            connection=end.name,
            client=client,
            server=end.other,
            content_hash=effect.content_hash,
            size_bytes=effect.size_bytes,
            done_bytes=effect.offset,
            granted_to=effect.offset + WINDOW_BYTES,
            progress_ns=self._clock.now_ns,
        )
        self._fetches[client][effect.content_hash] = fetch
        self._wanted[client][fetch.number] = fetch
        self._watch(fetch)
        request = PayloadRequest(end.name, fetch.number, effect.content_hash, effect.offset)
        self._network.wires[client, end.other].send(request, _REQUEST_BYTES)
        return True

    def cancel(self, client: int, content_hash: bytes) -> None:
        """Stop a fetch of a client, if it runs."""
        fetch = self._fetches[client].pop(content_hash, None)
        if fetch is not None and self._is_wanted(fetch):
            self._abandon(fetch)

    def answer(self, server: int, effect: AnswerPayload) -> None:
        """Serve or refuse what `PayloadWanted` asked for."""
        upload = self._uploads[server].get(effect.token)
        if upload is None or not self._network.is_open(server, upload.request.connection):
            return
        wire = self._network.wires[server, upload.client]
        number = upload.request.fetch
        served = None
        if effect.offset is not None:
            upload.is_served = True
            served = self.parties[server].serve(effect.content_hash)
        if served is None or effect.offset is None:
            wire.send(PayloadAnswer(number, None), _ANSWER_BYTES)
            self._clock.after(0.0, lambda: self._stop_upload(upload))
            return
        upload.position = effect.offset
        upload.source = memoryview(served.payload)
        wire.send(PayloadAnswer(number, served.size_bytes), _ANSWER_BYTES)
        self._pump(upload)

    def has_arrived(self, client: int, content_hash: bytes) -> bool:
        """Return whether a fetch is over of which its client does not know yet."""
        fetch = self._fetches[client].get(content_hash)
        return fetch is not None and not self._is_wanted(fetch)

    # For the network -----------------------------------------------------------------------

    def end_closed(self, end: int, connection: ConnectionName) -> None:
        """End the transfers of a connection at one of its ends."""
        for fetch in list(self._wanted[end].values()):
            if fetch.connection == connection:
                self._fail(fetch, None)
        for upload in list(self._uploads[end].values()):
            if upload.request.connection == connection:
                self._stop_upload(upload)

    # At the client -------------------------------------------------------------------------

    def _take_answer(self, client: int, _server: int, packet: PayloadAnswer) -> None:
        fetch = self._wanted[client].get(packet.fetch)
        if fetch is None:
            return
        if packet.size_bytes is None:
            self._fail(fetch, None)
            return
        fetch.progress_ns = self._clock.now_ns
        if packet.size_bytes != fetch.size_bytes:
            self._fail(fetch, OffenceKind.PAYLOAD_SIZE)
        elif fetch.done_bytes == fetch.size_bytes:
            self._complete(fetch)

    def _take_chunk(self, client: int, server: int, packet: PayloadChunk) -> None:
        if self._network.answers_reset(client, packet.connection):
            return
        fetch = self._wanted[client].get(packet.fetch)
        if fetch is None:
            return
        fetch.progress_ns = self._clock.now_ns
        fetch.pieces.append(memoryview(packet.chunk))
        fetch.done_bytes += len(packet.chunk)
        if fetch.done_bytes >= fetch.size_bytes:
            self._complete(fetch)
        elif fetch.done_bytes + WINDOW_BYTES - fetch.granted_to >= _GRANT_BYTES:
            fetch.granted_to = fetch.done_bytes + WINDOW_BYTES
            grant = WindowGrant(fetch.number, fetch.granted_to)
            self._network.wires[client, server].signal(grant)

    def _complete(self, fetch: Fetch) -> None:
        self._stop_waiting(fetch)
        self._tell_client(fetch, lambda party: party.payload_received(fetch))

    def _fail(self, fetch: Fetch, offence: OffenceKind | None) -> None:
        self._abandon(fetch)
        self._tell_client(fetch, lambda party: party.fetch_failed(fetch, offence))

    def _tell_client(self, fetch: Fetch, tell: Callable[[Party], None]) -> None:
        """Tell how a fetch ended, unless it is canceled before."""
        fetches = self._fetches[fetch.client]

        def tell_once() -> None:
            if fetches.get(fetch.content_hash) is fetch:
                del fetches[fetch.content_hash]
                tell(self.parties[fetch.client])

        self._hand_on(fetch.server, fetch.client, tell_once)

    def _hand_on(self, sender: int, receiver: int, action: Action) -> None:
        """Do something at a receiver, as late as its stream is taken; nothing to its next life."""
        lag_s = self._network.wires[sender, receiver].stream_lag_s()
        if lag_s == 0.0:
            action()
            return
        life = self.parties[receiver].life

        def late() -> None:
            if life is not None and self.parties[receiver].life == life:
                action()

        self._clock.after(lag_s, late)

    def _abandon(self, fetch: Fetch) -> None:
        """Stop waiting, and let the server know."""
        self._stop_waiting(fetch)
        if self._network.is_open(fetch.client, fetch.connection):
            wire = self._network.wires[fetch.client, fetch.server]
            wire.signal(FetchAbandoned(fetch.number))

    def _is_wanted(self, fetch: Fetch) -> bool:
        """Return whether the client still waits; what came of it may not be told yet."""
        return fetch.number in self._wanted[fetch.client]

    def _stop_waiting(self, fetch: Fetch) -> None:
        del self._wanted[fetch.client][fetch.number]
        if fetch.watch is not None:
            fetch.watch.cancel()

    def _watch(self, fetch: Fetch) -> None:
        fetch.watch = self._clock.at(fetch.progress_ns + self._idle_ns, lambda: self._look(fetch))

    def _look(self, fetch: Fetch) -> None:
        if self._clock.now_ns >= fetch.progress_ns + self._idle_ns:
            self._fail(fetch, None)
        else:
            self._watch(fetch)

    # At the server -------------------------------------------------------------------------

    def _take_request(self, server: int, client: int, packet: PayloadRequest) -> None:
        if self._network.answers_reset(server, packet.connection):
            return
        self._tokens[server] += 1
        upload = Upload(
            token=self._tokens[server],
            request=packet,
            client=client,
            server=server,
            allowed_to=packet.offset + WINDOW_BYTES,
        )
        self._uploads[server][upload.token] = upload
        self._asked[server][client, packet.fetch] = upload
        self._hand_on(client, server, lambda: self._ask(upload))

    def _ask(self, upload: Upload) -> None:
        if upload.token not in self._uploads[upload.server]:
            return  # given up in between
        self.parties[upload.server].deliver(
            PayloadWanted(
                peer=self._network.peers[upload.client],
                token=upload.token,
                content_hash=upload.request.content_hash,
                offset=upload.request.offset,
            )
        )

    def _take_grant(self, server: int, client: int, packet: WindowGrant) -> None:
        upload = self._asked[server].get((client, packet.fetch))
        if upload is None:
            return
        upload.allowed_to = packet.end
        if upload.is_stalled:
            upload.is_stalled = False
            self._pump(upload)

    def _take_abandoned(self, server: int, client: int, packet: FetchAbandoned) -> None:
        upload = self._asked[server].get((client, packet.fetch))
        if upload is not None:
            self._stop_upload(upload)

    def _pump(self, upload: Upload) -> None:
        """Send the next chunk once the last one has left, as far as the window allows."""
        if not upload.is_served:
            return
        if upload.position >= len(upload.source):
            self._stop_upload(upload)
            return
        if upload.position >= upload.allowed_to:
            upload.is_stalled = True
            return
        end = min(upload.position + CHUNK_BYTES, upload.allowed_to)
        chunk = upload.source[upload.position : end]
        upload.position += len(chunk)
        wire = self._network.wires[upload.server, upload.client]
        request = upload.request
        packet = PayloadChunk(request.connection, request.fetch, chunk)
        left_ns = wire.send(packet, len(chunk))
        self._clock.at(left_ns, lambda: self._pump(upload))

    def _stop_upload(self, upload: Upload) -> None:
        server, client = upload.server, upload.client
        if self._uploads[server].pop(upload.token, None) is None:
            return
        del self._asked[server][client, upload.request.fetch]
        if upload.is_served:
            upload.is_served = False
            upload.source = _NOTHING
            ended = UploadEnded(peer=self._network.peers[client], token=upload.token)
            self._hand_on(client, server, lambda: self.parties[server].deliver(ended))
