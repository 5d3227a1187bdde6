"""Frames on a byte stream, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.limits import FRAME_BYTES_MAX
from p2pfed.node.framing import FrameBuffer, FrameTooLarge, encode_frame


@given(
    frames=st.lists(st.binary(max_size=300), max_size=20),
    sizes=st.lists(st.integers(min_value=1, max_value=500), min_size=1),
)
def test_frames_survive_any_cutting(frames: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(encode_frame, frames))
    buffer = FrameBuffer()
    received = []
    begin = 0
    while begin < len(stream):
        size = sizes[len(received) % len(sizes)]
        buffer.feed(stream[begin : begin + size])
        begin += size
        while (frame := buffer.next_frame()) is not None:
            received.append(frame)
    assert received == frames
    assert buffer.is_empty


def test_largest_frame() -> None:
    buffer = FrameBuffer()
    buffer.feed(encode_frame(bytes(FRAME_BYTES_MAX))[:-1])
    assert buffer.next_frame() is None
    assert not buffer.is_empty
    buffer.feed(b"\x00")
    assert buffer.next_frame() == bytes(FRAME_BYTES_MAX)


@pytest.mark.parametrize("size", [FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_larger_frame_is_refused_by_its_length(size: int) -> None:
    buffer = FrameBuffer()
    buffer.feed(encode_frame(b"before") + size.to_bytes(4, "big"))
    assert buffer.next_frame() == b"before"
    with pytest.raises(FrameTooLarge, match=str(size)) as caught:
        buffer.next_frame()
    assert caught.value.size_bytes == size
