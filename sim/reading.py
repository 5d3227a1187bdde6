"""One reading of each frame for a whole world: neighbors get the same bytes, and often at once."""

from collections.abc import Hashable
from typing import Any, Final, Generic, Self, TypeVar, final

from msgspec.structs import replace

from p2pfed.messages import Deliver, Message, PeerRecord, PeerRecords, SignedHeader, UpdateHeader
from p2pfed.wire.reading import PLAIN
from sim.payloads import PayloadPool

FRAME_BYTES_MAX: Final = 1 << 24  # guess: what 10,000 peers have on their way at once
_SIGNATURES_MAX: Final = 1 << 15
_RECORDS_MAX: Final = 1 << 15  # as many peers

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@final
class Recent(Generic[Key, Value]):
    """Remembers what was put last: at least as much as `size_max`, at most twice of it.

    Args:
        size_max: In the unit of the sizes given.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._size = 0
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """Return what was put under a key, if it is still here."""
        return self._young[key] if key in self._young else self._old.get(key)

    def put(self, key: Key, value: Value, size: int = 1) -> None:
        """Remember a value."""
        if self._size + size > self._size_max:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = value
        self._size += size


@final
class SharedReader:
    """Remembers what `PlainReader` found in good frames and signatures; bad ones are read anew.

    Messages are frozen, so that cores cannot reach each other through them. Of each payload and
    each peer record the world has one copy: cores remember hundreds of records each.

    Args:
        frame_bytes_max: Frames whose messages are remembered at least, in bytes.

    Attributes:
        pool: Payloads of the world, whose hashes are known to be right.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.pool = PayloadPool()
        self._messages: Recent[bytes, Message] = Recent(frame_bytes_max)
        self._of_headers: Recent[tuple[bytes, bytes, bytes], bool] = Recent(_SIGNATURES_MAX)
        self._records: Recent[bytes, PeerRecord] = Recent(_RECORDS_MAX)  # by signature
        self._verified: Recent[bytes, PeerRecord] = Recent(_RECORDS_MAX)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # nothing that a core could tell depends on what it holds

    def decode(self, frame: bytes) -> Message:
        """Return the message of a frame.

        Raises:
            RemoteError: If it is none.
        """
        message = self._messages.get(frame)
        if message is None:
            message = PLAIN.decode(frame)
            if isinstance(message, PeerRecords):
                message = PeerRecords(records=tuple(map(self._same, message.records)))
            elif isinstance(message, Deliver):
                message = self._with_shared_payload(message)
            self._messages.put(frame, message, len(frame))
        return message

    def verify(self, signed: SignedHeader) -> None:
        """Check that the author signed the header.

        Raises:
            SignatureError: If not.
        """
        key = (bytes(signed.header.author), signed.encoded, signed.signature)
        if self._of_headers.get(key) is None:
            PLAIN.verify(signed)
            self._of_headers.put(key, True)

    def verify_record(self, record: PeerRecord) -> None:
        """Check that the peer signed its record.

        Raises:
            SignatureError: If not.
        """
        known = self._verified.get(record.signature)
        if known is record or known == record:
            return
        PLAIN.verify_record(record)
        self._verified.put(record.signature, record)

    def check_payload(self, header: UpdateHeader, payload: bytes) -> None:
        """Check a whole payload against its header.

        Raises:
            SchemaError: If it is another one.
        """
        is_known = self.pool.get(header.payload_hash) is payload
        if not is_known or len(payload) != header.payload_bytes:
            PLAIN.check_payload(header, payload)

    def _with_shared_payload(self, message: Deliver) -> Deliver:
        known = self.pool.get(message.update.header.payload_hash)
        return replace(message, payload=known) if known == message.payload else message

    def _same(self, record: PeerRecord) -> PeerRecord:
        """Return the copy of a record that everybody has."""
        known = self._records.get(record.signature)
        if known == record:
            return known
        self._records.put(record.signature, record)
        return record
