"""The one content hash: BLAKE3-256 names runs, updates and payloads."""

import blake3


def content_hash(data: bytes | memoryview) -> bytes:
    """Return the 32-byte BLAKE3-256 of data."""
    return blake3.blake3(data).digest()
