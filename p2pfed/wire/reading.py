"""What a core reads frames with: an interface, so that a world of many cores may read each once."""

from typing import Final, Protocol, final

from p2pfed.messages import Message, PeerRecord, SignedHeader, UpdateHeader
from p2pfed.wire import frames, headers


class Reader(Protocol):
    """Pure functions: the same arguments give the same result, or the same kind of error."""

    def decode(self, frame: bytes) -> Message:
        """Return the message of a frame; see `p2pfed.wire.frames.decode`.

        Raises:
            RemoteError: If it is none.
        """

    def verify(self, signed: SignedHeader) -> None:
        """Check that the author signed the header.

        Raises:
            SignatureError: If not.
        """

    def verify_record(self, record: PeerRecord) -> None:
        """Check that the peer signed its record.

        Raises:
            SignatureError: If not.
        """

    def check_payload(self, header: UpdateHeader, payload: bytes) -> None:
        """Check a whole payload against its header; see `p2pfed.wire.frames.check_payload`.

        Raises:
            SchemaError: If it is another one.
        """


@final
class PlainReader:
    """Reads everything anew: what a real peer does, who sees each frame once."""

    def decode(self, frame: bytes) -> Message:
        """Return the message of a frame.

        Raises:
            RemoteError: If it is none.
        """
        return frames.decode(frame)

    def verify(self, signed: SignedHeader) -> None:
        """Check that the author signed the header.

        Raises:
            SignatureError: If not.
        """
        headers.verify(signed)

    def verify_record(self, record: PeerRecord) -> None:
        """Check that the peer signed its record.

        Raises:
            SignatureError: If not.
        """
        headers.verify_record(record)

    def check_payload(self, header: UpdateHeader, payload: bytes) -> None:
        """Check a whole payload against its header.

        Raises:
            SchemaError: If it is another one.
        """
        frames.check_payload(header, payload)


PLAIN: Final = PlainReader()
