"""Payload transfers: asked for by hash, served from an offset, chunk by chunk."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, final

from p2pfed.core.effects import AnswerPayload, FetchPayload
from p2pfed.core.events import Event, OffenceKind, PayloadWanted, UploadEnded
from sim.clock import Action, Clock, Entry, nanoseconds
from sim.network import Connection, Network

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

    def payload_received(self, transfer: "Transfer") -> None:
        """Take all bytes of a payload, to be checked."""

    def fetch_failed(self, transfer: "Transfer", offence: OffenceKind | None) -> None:
        """Take that a fetch ended before that."""


@dataclass(slots=True, kw_only=True, eq=False)
class Transfer:
    """One payload on its way.

    Attributes:
        connection: What carries it.
        client: Number of the peer that asked.
        content_hash: Of the whole payload.
        size_bytes: Of the whole payload, as the client was told.
        offset: Where it began.
        pieces: What has arrived, in order.
        done_bytes: How far the client is, from the beginning of the payload.
        is_wanted: Whether the client still waits; what came of it may not be told yet.
        is_served: Whether the server still sends.
        token: The server's name for it.
        source: What the server sends.
        position: How far the server is.
        allowed_to: How far it may go, as it was told.
        granted_to: How far it may go, as the client has told it.
        is_stalled: Whether the server waits to be told more.
        progress_ns: When the client last got a byte.
        watch: Wakes the client when nothing comes.
    """

    connection: Connection
    client: int
    content_hash: bytes
    size_bytes: int
    offset: int
    pieces: list[memoryview] = field(default_factory=list)
    done_bytes: int
    is_wanted: bool = True
    is_served: bool = False
    token: int = 0
    source: memoryview = _NOTHING
    position: int = 0
    allowed_to: int
    granted_to: int
    is_stalled: bool = False
    progress_ns: int = 0
    watch: Entry | None = None

    @property
    def server(self) -> int:
        """Number of the peer that serves."""
        return self.connection.other(self.client)


@final
class Transfers:
    """All transfers of a world.

    Args:
        network: Carries them.
        clock: The world's.
    """

    def __init__(self, network: Network, clock: Clock) -> None:
        self.parties: list[Party] = []  # by number; the world adds them
        self._network = network
        self._clock = clock
        self._idle_ns = nanoseconds(network.timing.idle_s)
        # By client and content hash, and by server and token.
        self._fetches: defaultdict[int, dict[bytes, Transfer]] = defaultdict(dict)
        self._uploads: defaultdict[int, dict[int, Transfer]] = defaultdict(dict)
        self._last_token = 0
        network.tenants.append(self)

    # For the driver of a peer --------------------------------------------------------------

    def fetch(self, client: int, effect: FetchPayload) -> bool:
        """Ask a peer for a payload; return False when there is no connection to it."""
        connection = self._network.connection(client, effect.peer)
        if connection is None:
            return False
        known = self._fetches[client].get(effect.content_hash)
        assert known is None or not known.is_wanted  # what is left may be of an earlier life
        transfer = Transfer(
            connection=connection,
            client=client,
            content_hash=effect.content_hash,
            size_bytes=effect.size_bytes,
            offset=effect.offset,
            done_bytes=effect.offset,
            allowed_to=effect.offset + WINDOW_BYTES,
            granted_to=effect.offset + WINDOW_BYTES,
            progress_ns=self._clock.now_ns,
        )
        self._fetches[client][effect.content_hash] = transfer
        self._watch(transfer)
        wire = self._network.wires[client, transfer.server]
        wire.send(_REQUEST_BYTES, lambda: self._request_arrived(transfer))
        return True

    def cancel(self, client: int, content_hash: bytes) -> None:
        """Stop a fetch of a client, if it runs."""
        transfer = self._fetches[client].pop(content_hash, None)
        if transfer is not None and transfer.is_wanted:
            self._abandon(transfer)

    def answer(self, server: int, effect: AnswerPayload) -> None:
        """Serve or refuse what `PayloadWanted` asked for."""
        transfer = self._uploads[server].get(effect.token)
        if transfer is None or not transfer.connection.is_open(server):
            return
        wire = self._network.wires[server, transfer.client]
        served = None
        if effect.offset is not None:
            transfer.is_served = True
            served = self.parties[server].serve(effect.content_hash)
        if served is None or effect.offset is None:
            wire.send(_ANSWER_BYTES, lambda: self._refused(transfer))
            self._clock.after(0.0, lambda: self._stop_upload(transfer))
            return
        transfer.position = effect.offset
        transfer.source = memoryview(served.payload)
        wire.send(_ANSWER_BYTES, lambda: self._accepted(transfer, served.size_bytes))
        self._pump(transfer)

    def has_arrived(self, client: int, content_hash: bytes) -> bool:
        """Return whether a fetch is over of which its client does not know yet."""
        transfer = self._fetches[client].get(content_hash)
        return transfer is not None and not transfer.is_wanted

    # For the network -----------------------------------------------------------------------

    def end_closed(self, connection: Connection, end: int) -> None:
        """End the transfers of a connection at one of its ends."""
        for transfer in list(self._fetches[end].values()):
            if transfer.connection is connection and transfer.is_wanted:
                self._fail(transfer, None)
        for transfer in list(self._uploads[end].values()):
            if transfer.connection is connection:
                self._stop_upload(transfer)

    # At the client -------------------------------------------------------------------------

    def _accepted(self, transfer: Transfer, size_bytes: int) -> None:
        if not transfer.is_wanted:
            return
        transfer.progress_ns = self._clock.now_ns
        if size_bytes != transfer.size_bytes:
            self._fail(transfer, OffenceKind.PAYLOAD_SIZE)
        elif transfer.done_bytes == transfer.size_bytes:
            self._complete(transfer)

    def _refused(self, transfer: Transfer) -> None:
        if transfer.is_wanted:
            self._fail(transfer, None)

    def _chunk_arrived(self, transfer: Transfer, chunk: memoryview) -> None:
        if self._network.answers_reset(transfer.connection, transfer.client):
            return
        if not transfer.is_wanted:
            return
        transfer.progress_ns = self._clock.now_ns
        transfer.pieces.append(chunk)
        transfer.done_bytes += len(chunk)
        if transfer.done_bytes >= transfer.size_bytes:
            self._complete(transfer)
        elif transfer.done_bytes + WINDOW_BYTES - transfer.granted_to >= _GRANT_BYTES:
            end = transfer.granted_to = transfer.done_bytes + WINDOW_BYTES
            wire = self._network.wires[transfer.client, transfer.server]
            wire.signal(lambda: self._granted(transfer, end))

    def _complete(self, transfer: Transfer) -> None:
        self._stop_waiting(transfer)
        self._tell_client(transfer, lambda party: party.payload_received(transfer))

    def _fail(self, transfer: Transfer, offence: OffenceKind | None) -> None:
        self._abandon(transfer)
        self._tell_client(transfer, lambda party: party.fetch_failed(transfer, offence))

    def _tell_client(self, transfer: Transfer, tell: Callable[[Party], None]) -> None:
        """Tell how a fetch ended, unless it is canceled before."""
        fetches = self._fetches[transfer.client]

        def tell_once() -> None:
            if fetches.get(transfer.content_hash) is transfer:
                del fetches[transfer.content_hash]
                tell(self.parties[transfer.client])

        self._hand_on(transfer.server, transfer.client, tell_once)

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

    def _abandon(self, transfer: Transfer) -> None:
        """Stop waiting, and let the server know."""
        self._stop_waiting(transfer)
        if transfer.connection.is_open(transfer.client):
            wire = self._network.wires[transfer.client, transfer.server]
            wire.signal(lambda: self._stop_upload(transfer))

    def _stop_waiting(self, transfer: Transfer) -> None:
        transfer.is_wanted = False
        if transfer.watch is not None:
            transfer.watch.cancel()

    def _watch(self, transfer: Transfer) -> None:
        transfer.watch = self._clock.at(
            transfer.progress_ns + self._idle_ns, lambda: self._look(transfer)
        )

    def _look(self, transfer: Transfer) -> None:
        if self._clock.now_ns >= transfer.progress_ns + self._idle_ns:
            self._fail(transfer, None)
        else:
            self._watch(transfer)

    # At the server -------------------------------------------------------------------------

    def _request_arrived(self, transfer: Transfer) -> None:
        if self._network.answers_reset(transfer.connection, transfer.server):
            return
        self._last_token += 1
        transfer.token = self._last_token
        self._uploads[transfer.server][transfer.token] = transfer
        self._hand_on(transfer.client, transfer.server, lambda: self._ask(transfer))

    def _ask(self, transfer: Transfer) -> None:
        if transfer.token not in self._uploads[transfer.server]:
            return  # given up in between
        self.parties[transfer.server].deliver(
            PayloadWanted(
                peer=self._network.peers[transfer.client],
                token=transfer.token,
                content_hash=transfer.content_hash,
                offset=transfer.offset,
            )
        )

    def _granted(self, transfer: Transfer, end: int) -> None:
        transfer.allowed_to = end
        if transfer.is_stalled:
            transfer.is_stalled = False
            self._pump(transfer)

    def _pump(self, transfer: Transfer) -> None:
        """Send the next chunk once the last one has left, as far as the window allows."""
        if not transfer.is_served:
            return
        if transfer.position >= len(transfer.source):
            self._stop_upload(transfer)
            return
        if transfer.position >= transfer.allowed_to:
            transfer.is_stalled = True
            return
        end = min(transfer.position + CHUNK_BYTES, transfer.allowed_to)
        chunk = transfer.source[transfer.position : end]
        transfer.position += len(chunk)
        wire = self._network.wires[transfer.server, transfer.client]
        left_ns = wire.send(len(chunk), lambda: self._chunk_arrived(transfer, chunk))
        self._clock.at(left_ns, lambda: self._pump(transfer))

    def _stop_upload(self, transfer: Transfer) -> None:
        known = self._uploads[transfer.server].pop(transfer.token, None)
        if known is not None and transfer.is_served:
            transfer.is_served = False
            transfer.source = _NOTHING
            ended = UploadEnded(peer=self._network.peers[transfer.client], token=transfer.token)
            server = transfer.server
            self._hand_on(transfer.client, server, lambda: self.parties[server].deliver(ended))
