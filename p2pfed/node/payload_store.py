"""Payloads by content hash: in memory first, on disk beyond a bound."""

from pathlib import Path
from typing import final

from p2pfed.errors import LocalError
from p2pfed.node.store import write_atomically


@final
class PayloadStore:
    """Keeps payloads until they are dropped. Safe to use from worker threads.

    Args:
        folder: Where payloads go that do not fit into memory.
        memory_bytes_max: Payload bytes kept in memory.
        total_bytes_max: Payload bytes kept altogether.
    """

    def __init__(self, folder: Path, *, memory_bytes_max: int, total_bytes_max: int) -> None:
        self._folder = folder
        self._memory_bytes_max = memory_bytes_max
        self._total_bytes_max = total_bytes_max
        self._memory: dict[bytes, bytes] = {}
        self._sizes: dict[bytes, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def load_saved(self, content_hash: bytes) -> bool:
        """Take up a payload that an earlier life left on disk; return whether it is there."""
        path = self._path(content_hash)
        if path.exists():
            self._sizes[content_hash] = path.stat().st_size
        return content_hash in self._sizes

    def remove_others(self, kept: set[bytes]) -> None:
        """Remove files of earlier lives that nobody refers to any more."""
        for path in self._folder.iterdir():
            if path.name not in {content_hash.hex() for content_hash in kept}:
                path.unlink()

    def put(self, content_hash: bytes, payload: bytes, *, durable: bool = False) -> None:
        """Keep a payload.

        Args:
            content_hash: Its hash, which has been checked.
            payload: The bytes.
            durable: Whether it must survive this process.

        Raises:
            LocalError: If the store is full.
        """
        total = sum(self._sizes.values()) - self._sizes.get(content_hash, 0) + len(payload)
        if total > self._total_bytes_max:
            raise LocalError(
                f"payload store would hold {total} bytes, at most {self._total_bytes_max}; "
                "raise limits.payload_store_bytes_max"
            )
        in_memory = sum(map(len, self._memory.values())) + len(payload)
        if durable or in_memory > self._memory_bytes_max:
            write_atomically(self._path(content_hash), payload)
        if in_memory <= self._memory_bytes_max:
            self._memory[content_hash] = payload
        self._sizes[content_hash] = len(payload)

    def get(self, content_hash: bytes) -> bytes:
        """Return a payload.

        Raises:
            LocalError: If it is not here.
        """
        payload = self._memory.get(content_hash)
        if payload is not None:
            return payload
        try:
            return self._path(content_hash).read_bytes()
        except FileNotFoundError as error:
            raise LocalError(f"payload {content_hash.hex()[:8]} is not in the store") from error

    def drop(self, content_hash: bytes) -> None:
        """Forget a payload; one that is not here is no error."""
        self._memory.pop(content_hash, None)
        self._sizes.pop(content_hash, None)
        self._path(content_hash).unlink(missing_ok=True)

    def _path(self, content_hash: bytes) -> Path:
        return self._folder / content_hash.hex()
