"""Decoded payloads, kept for a while because validation and several integrations read them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from torch import Tensor

from p2pfed.errors import LocalError, SpecMismatch
from p2pfed.learn.mixing import Claim
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.wire.payload import MAIN, decode_payload

_BYTES_MAX: Final = 1 << 28  # 800 LoRA vectors of a small encoder, or one of 64 M parameters


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedUpdate:
    """What a payload says.

    Attributes:
        difference: Its author's vector minus the initial one, shape (d,), float32; never changed.
        claim: What the author says of itself.
    """

    difference: Tensor
    claim: Claim


@final
class DecodeCache:
    """The decoded updates used last, by content hash; peers of one process may share one.

    Args:
        bytes_max: Bound of the vectors' memory, in bytes.
    """

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        if bytes_max < 0:
            raise LocalError(f"a cache of {bytes_max} bytes")
        self._bytes_max = bytes_max
        self._bytes = 0
        self._updates: OrderedDict[bytes, DecodedUpdate] = OrderedDict()
        # A validation may run beside an integration, on another thread of the node.
        self._lock = threading.Lock()

    def get(self, content_hash: bytes) -> DecodedUpdate | None:
        """Return an update if it is still here."""
        with self._lock:
            if content_hash in self._updates:
                self._updates.move_to_end(content_hash)
            return self._updates.get(content_hash)

    def put(self, content_hash: bytes, update: DecodedUpdate) -> None:
        """Keep an update, and forget those used longest ago if it is too much."""
        with self._lock:
            if content_hash in self._updates:
                return
            self._updates[content_hash] = update
            self._bytes += update.difference.nbytes
            while self._bytes > self._bytes_max:
                _, forgotten = self._updates.popitem(last=False)
                self._bytes -= forgotten.difference.nbytes


def check_header(header: UpdateHeader, *, method: str, codec: str) -> None:
    """Refuse an update that this run cannot hold.

    Raises:
        SpecMismatch: If its kind, method or codec is another.
    """
    found = (header.kind, header.method, header.codec)
    wanted = (UpdateKind.FULL, method, codec)
    if found != wanted:
        raise SpecMismatch(f"update of {'/'.join(found)}, this run has {'/'.join(wanted)}")


def decode_update(payload: bytes, *, codec: Codec, size: int) -> DecodedUpdate:
    """Decode the payload of a full update of `size` values.

    Raises:
        RemoteError: If it is not one; nothing else, whatever the bytes.
    """
    limits: Mapping[str, int] = {MAIN: codec.encoded_bytes_max(size)}
    sections = decode_payload(payload, section_bytes_max=limits)
    claim = Claim.from_section(sections.claims)
    return DecodedUpdate(difference=codec.decode(sections.main, size), claim=claim)
