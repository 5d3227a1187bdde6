"""Decoded payloads, kept for a while because validation and several integrations read them."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, final

from msgspec import Struct
from torch import Tensor

from p2pfed.errors import LocalError, NotReadError, RemoteError, SpecMismatch
from p2pfed.learn.mixing import Claim
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.wire.payload import MAIN, decode_payload

# Of full updates where the run's codec is for differences: copies have to have equal bits.
FULL_CODEC: Final = Float32()
_log = logging.getLogger(__name__)

_BYTES_MAX: Final = 1 << 28  # 800 LoRA vectors of a small encoder, or one of 64 M parameters


@final
class DecodedUpdate(Struct, frozen=True, kw_only=True, eq=False):
    """What a payload says.

    Attributes:
        difference: Its author's vector minus the initial one or, if the update is a difference,
            minus the one before; shape (d,), float32; never changed.
        claim: What the author says of itself.
    """

    difference: Tensor
    claim: Claim


@final
class DecodeCache:
    """The decoded updates used last; peers of one process may share one.

    Args:
        bytes_max: Bound of the vectors' memory, in bytes.
    """

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        if bytes_max < 0:
            raise LocalError(f"a cache of {bytes_max} bytes")
        self._bytes_max = bytes_max
        self._bytes = 0
        # By content hash and whether it is full: the same bytes may be the whole and a difference.
        self._updates: OrderedDict[tuple[bytes, bool], DecodedUpdate] = OrderedDict()
        # A validation may run beside an integration, on another thread of the node.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._updates)

    def get(self, header: UpdateHeader) -> DecodedUpdate | None:
        """Return what is in an update if it is still here."""
        key = (header.payload_hash, header.kind is UpdateKind.FULL)
        with self._lock:
            update = self._updates.get(key)
            if update is not None:
                self._updates.move_to_end(key)
            return update

    def put(self, header: UpdateHeader, update: DecodedUpdate) -> None:
        """Keep what is in an update, and forget those used longest ago if it is too much."""
        key = (header.payload_hash, header.kind is UpdateKind.FULL)
        with self._lock:
            if key in self._updates:
                return
            self._updates[key] = update
            self._bytes += update.difference.nbytes
            while self._bytes > self._bytes_max:
                _, forgotten = self._updates.popitem(last=False)
                self._bytes -= forgotten.difference.nbytes

    def forget(self, content_hash: bytes) -> None:
        """Forget what is in a payload that nobody will read again."""
        with self._lock:
            for is_full in (True, False):
                forgotten = self._updates.pop((content_hash, is_full), None)
                if forgotten is not None:
                    self._bytes -= forgotten.difference.nbytes


def check_header(header: UpdateHeader, *, method: str, codec: Codec) -> Codec:
    """Refuse an update that this run cannot hold.

    Returns:
        What decodes it: a full update is exact in a run whose codec is for differences.

    Raises:
        SpecMismatch: If its kind, method or codec is another.
    """
    is_full = header.kind is UpdateKind.FULL
    is_known = is_full or (codec.is_for_differences and header.kind is UpdateKind.DIFFERENCE)
    if not is_known or header.method != method or header.codec != codec.name:
        kinds = [UpdateKind.FULL, *([UpdateKind.DIFFERENCE] if codec.is_for_differences else [])]
        raise SpecMismatch(
            f"update of {header.kind}/{header.method}/{header.codec}, this run has "
            f"{' or '.join(kinds)}/{method}/{codec.name}"
        )
    return FULL_CODEC if is_full and codec.is_for_differences else codec


def main_bytes_max(codec: Codec, size: int) -> int:
    """Return the most bytes that an update of `size` values can have in its main section."""
    full = FULL_CODEC if codec.is_for_differences else codec
    return max(codec.encoded_bytes_max(size), full.encoded_bytes_max(size))


def decode_update(payload: bytes, *, codec: Codec, size: int) -> DecodedUpdate:
    """Decode the payload of an update of `size` values.

    Raises:
        RemoteError: If it is not one.
        NotReadError: If the codec raises anything else, as one of a third party might.
    """
    limits: Mapping[str, int] = {MAIN: codec.encoded_bytes_max(size)}
    sections = decode_payload(payload, section_bytes_max=limits)
    claim = Claim.from_section(sections.claims)
    try:
        difference = codec.decode(sections.main, size)
    except RemoteError:
        raise
    except Exception as error:  # the edge to decoders of third parties
        _log.warning("%s broke down at an update: %r", codec.name, error)
        raise NotReadError(f"{codec.name}: {type(error).__name__}: {error}") from error
    return DecodedUpdate(difference=difference, claim=claim)
