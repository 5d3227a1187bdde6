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
WINDOW_CHUNKS: Final = 16  # on their way at once: 1 MiB, a large TCP window

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
        position: How far the server is.
        flying_chunks: Sent and not arrived.
        is_stalled: Whether the server waits for room in the window.
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
    position: int = 0
    flying_chunks: int = 0
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
        wire.send(_ANSWER_BYTES, lambda: self._accepted(transfer, served.size_bytes))
        self._pump(transfer, memoryview(served.payload))

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

    def _chunk_arrived(self, transfer: Transfer, chunk: memoryview, source: memoryview) -> None:
        if self._network.answers_reset(transfer.connection, transfer.client):
            return
        transfer.flying_chunks -= 1
        if transfer.is_wanted:
            transfer.progress_ns = self._clock.now_ns
            transfer.pieces.append(chunk)
            transfer.done_bytes += len(chunk)
            if transfer.done_bytes >= transfer.size_bytes:
                self._complete(transfer)
        if transfer.is_stalled:
            transfer.is_stalled = False
            self._pump(transfer, source)

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

    def _pump(self, transfer: Transfer, source: memoryview) -> None:
        """Send the next chunk once the last one has left, as far as the window allows."""
        if not transfer.is_served:
            return
        if transfer.position >= len(source):
            self._stop_upload(transfer)
            return
        if transfer.flying_chunks >= WINDOW_CHUNKS:
            transfer.is_stalled = True
            return
        chunk = source[transfer.position : transfer.position + CHUNK_BYTES]
        transfer.position += len(chunk)
        transfer.flying_chunks += 1
        wire = self._network.wires[transfer.server, transfer.client]
        left_ns = wire.send(len(chunk), lambda: self._chunk_arrived(transfer, chunk, source))
        self._clock.at(left_ns, lambda: self._pump(transfer, source))

    def _stop_upload(self, transfer: Transfer) -> None:
        known = self._uploads[transfer.server].pop(transfer.token, None)
        if known is not None and transfer.is_served:
            transfer.is_served = False
            ended = UploadEnded(peer=self._network.peers[transfer.client], token=transfer.token)
            server = transfer.server
            self._hand_on(transfer.client, server, lambda: self.parties[server].deliver(ended))
