"""Control frames on a byte stream: a 4-byte big-endian length, then the frame. No IO here."""

import struct
from typing import final

from p2pfed.errors import TransportError
from p2pfed.limits import FRAME_BYTES_MAX

_LENGTH = struct.Struct(">I")


class FrameTooLarge(TransportError):
    """The other side announced a frame above FRAME_BYTES_MAX.

    Args:
        size_bytes: What it announced.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"frame of {size_bytes} bytes, at most {FRAME_BYTES_MAX} are allowed")
        self.size_bytes = size_bytes


def encode_frame(frame: bytes) -> bytes:
    """Return a frame as it travels."""
    assert len(frame) <= FRAME_BYTES_MAX
    return _LENGTH.pack(len(frame)) + frame


@final
class FrameBuffer:
    """Cuts received bytes into frames; holds at most one incomplete frame and one read."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no part of a frame is waiting for its rest."""
        return not self._bytes

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrived."""
        self._bytes += data

    def next_frame(self) -> bytes | None:
        """Return the next whole frame, or None until more is fed.

        Raises:
            FrameTooLarge: If the next length is above the limit; the buffer is then of no use.
        """
        if len(self._bytes) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._bytes)
        if size > FRAME_BYTES_MAX:
            raise FrameTooLarge(size)
        end = _LENGTH.size + size
        if len(self._bytes) < end:
            return None
        frame = bytes(memoryview(self._bytes)[_LENGTH.size : end])
        del self._bytes[:end]
        return frame
