"""Receives payloads: resumable, hashed while they arrive, off the trio thread when large."""

from collections.abc import Callable
from typing import final

import trio
from blake3 import blake3

from p2pfed.core.effects import FetchPayload
from p2pfed.core.events import Event, OffenceKind, PayloadArrived, PayloadFailed
from p2pfed.errors import LocalError, RemoteError, TransportError
from p2pfed.node.payload_buffer import allocate
from p2pfed.node.payload_store import PayloadStore
from p2pfed.node.transport import TransferRefused, Transport

_THREAD_BYTES_MIN = 1 << 20  # DESIGN: hashing above 1 MiB leaves the trio thread


@final
class _Partial:
    """The part of a payload that has arrived, and the hash of it so far."""

    def __init__(self, size_bytes: int) -> None:
        # The size is the author's signed word within our limits; untouched pages cost nothing.
        self.buffer = allocate(size_bytes)
        self.received = 0
        self._hashed = 0
        self._hasher = blake3()

    def write(self, chunk: bytes) -> None:
        """Append a chunk; the transport never passes more than the size."""
        self.buffer[self.received : self.received + len(chunk)] = chunk
        self.received += len(chunk)

    def hash_received(self) -> None:
        """Feed what has arrived since the last call to the hash."""
        end = self.received
        self._hasher.update(self.buffer[self._hashed : end])
        self._hashed = end

    @property
    def unhashed_bytes(self) -> int:
        """Bytes that have arrived and are not hashed yet."""
        return self.received - self._hashed

    def digest(self) -> bytes:
        """Return the hash of everything hashed."""
        return self._hasher.digest()


@final
class Fetcher:
    """Runs the fetches that the core asks for.

    Args:
        transport: Where bytes come from.
        payloads: Where whole payloads go.
        deliver: Takes the answers.
    """

    def __init__(
        self, transport: Transport, payloads: PayloadStore, deliver: Callable[[Event], None]
    ) -> None:
        self._transport = transport
        self._payloads = payloads
        self._deliver = deliver
        self._partials: dict[bytes, _Partial] = {}
        self._scopes: dict[bytes, trio.CancelScope] = {}

    async def fetch(self, effect: FetchPayload) -> None:
        """Fetch one payload and deliver how it went."""
        with trio.CancelScope() as scope:
            self._scopes[effect.content_hash] = scope
            event = await self._try(effect)
        if self._scopes.get(effect.content_hash) is scope:
            del self._scopes[effect.content_hash]
        if not scope.cancelled_caught:
            self._deliver(event)

    def cancel(self, content_hash: bytes) -> None:
        """Stop a fetch and forget what arrived of it."""
        self._partials.pop(content_hash, None)
        scope = self._scopes.pop(content_hash, None)
        if scope is not None:
            scope.cancel()

    async def _try(self, effect: FetchPayload) -> Event:
        partial = self._partials.get(effect.content_hash)
        if partial is None or partial.received != effect.offset:
            partial = self._partials[effect.content_hash] = _Partial(effect.size_bytes)
        offence: OffenceKind | None = None
        try:
            await self._receive(effect, partial)
        except RemoteError:
            offence = OffenceKind.PAYLOAD_SIZE
        except (TransferRefused, TransportError):
            pass  # nobody need be at fault; the core decides whether to try again
        else:
            if partial.digest() == effect.content_hash:
                return await self._keep(effect, partial)
            offence = OffenceKind.PAYLOAD_HASH
        if offence is not None:
            self._partials.pop(effect.content_hash, None)  # no byte of a liar is kept
        return PayloadFailed(
            peer=effect.peer,
            content_hash=effect.content_hash,
            bytes_done=0 if offence is not None else partial.received,
            offence=offence,
        )

    async def _receive(self, effect: FetchPayload, partial: _Partial) -> None:
        wake = trio.Event()

        def sink(chunk: bytes) -> None:
            partial.write(chunk)
            if partial.unhashed_bytes >= _THREAD_BYTES_MIN:
                wake.set()

        async def hash_beside() -> None:
            nonlocal wake
            while True:
                await wake.wait()
                wake = trio.Event()
                await trio.to_thread.run_sync(partial.hash_received)

        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hash_beside)
            try:
                await self._transport.fetch(
                    effect.peer,
                    effect.content_hash,
                    size_bytes=effect.size_bytes,
                    offset=partial.received,
                    sink=sink,
                )
            except (RemoteError, TransferRefused, TransportError) as error:
                failure = error  # raised outside, where no nursery wraps it
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        partial.hash_received()  # less than a mebibyte is left

    async def _keep(self, effect: FetchPayload, partial: _Partial) -> Event:
        del self._partials[effect.content_hash]
        payload = bytes(partial.buffer)
        try:
            await trio.to_thread.run_sync(self._payloads.put, effect.content_hash, payload)
        except LocalError:
            return PayloadFailed(
                peer=effect.peer, content_hash=effect.content_hash, bytes_done=0, offence=None
            )
        return PayloadArrived(content_hash=effect.content_hash)
