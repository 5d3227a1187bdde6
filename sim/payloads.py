"""Payload bytes, one copy for the whole world however many peers hold them."""

from collections.abc import Callable
from typing import final

from blake3 import blake3
from msgspec import Struct


class _Shared(Struct):
    payload: bytes
    holders: int


@final
class PayloadPool:
    """All payloads of a world by content hash, each for as long as somebody holds it.

    Attributes:
        on_gone: Called with the hash of a payload that nobody holds any more.
    """

    def __init__(self) -> None:
        self.on_gone: Callable[[bytes], None] | None = None
        self._shared: dict[bytes, _Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    def get(self, content_hash: bytes) -> bytes | None:
        """Return a payload that somebody holds."""
        shared = self._shared.get(content_hash)
        return None if shared is None else shared.payload

    def take(self, content_hash: bytes, payload: bytes) -> None:
        """Count one more holder of a payload whose hash is known to be right."""
        shared = self._shared.setdefault(content_hash, _Shared(payload, 0))
        shared.holders += 1

    def release(self, content_hash: bytes) -> None:
        """Count one holder less."""
        shared = self._shared[content_hash]
        shared.holders -= 1
        if shared.holders == 0:
            del self._shared[content_hash]
            if self.on_gone is not None:
                self.on_gone(content_hash)

    def is_genuine(self, content_hash: bytes, pieces: list[memoryview]) -> bool:
        """Return whether pieces together are the payload of a hash.

        Pieces of the very object that the world holds need no hashing, which is every piece that
        an honest peer serves.
        """
        known = self.get(content_hash)
        if known is not None and all(piece.obj is known for piece in pieces):
            return sum(len(piece) for piece in pieces) == len(known)
        return blake3(b"".join(pieces)).digest() == content_hash


@final
class PayloadShelf:
    """The payload store of one peer; outlives the process like a folder on its disk.

    Args:
        pool: Where the bytes are.
    """

    def __init__(self, pool: PayloadPool) -> None:
        self._pool = pool
        self._held: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, content_hash: bytes) -> bool:
        return content_hash in self._held

    def get(self, content_hash: bytes) -> bytes:
        """Return a payload that is here."""
        assert content_hash in self._held, f"payload {content_hash.hex()[:8]} is not held"
        payload = self._pool.get(content_hash)
        assert payload is not None
        return payload

    def put(self, content_hash: bytes, payload: bytes) -> None:
        """Keep a payload whose hash is known to be right."""
        if content_hash not in self._held:
            self._held[content_hash] = None
            self._pool.take(content_hash, payload)

    def drop(self, content_hash: bytes) -> None:
        """Forget a payload; one that is not here is no error."""
        if content_hash in self._held:
            del self._held[content_hash]
            self._pool.release(content_hash)

    def keep_only(self, content_hash: bytes | None) -> None:
        """Forget everything but one payload."""
        for held in list(self._held):
            if held != content_hash:
                self.drop(held)
