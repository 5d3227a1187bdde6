"""Our changes to py-libp2p's frames and Noise messages, with a test for the effect of each."""

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import IncompleteReadError
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter

from p2pfed.node import libp2p_compat as compat
from p2pfed.node import libp2p_muxer
from p2pfed.node.metered_stream import MeteredStream
from p2pfed.testing.transport_lab import linked, serve
from tests.node.transport.labs import LibP2PLab
from tests.node.transport.muxer_lab import PAYLOAD, fetch, make_muxer, pass_time


@pytest.mark.net
async def test_frames_are_large_and_fill_noise_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[int] = []
    messages: list[int] = []
    write, encrypt = libp2p_muxer.HardenedYamux._write_whole, NoiseTransportReadWriter.encrypt

    async def write_and_note(self: libp2p_muxer.HardenedYamux, data: bytes) -> None:
        frames.append(len(data))
        await write(self, data)

    def encrypt_and_note(self: NoiseTransportReadWriter, data: bytes) -> bytes:
        messages.append(len(data))
        return encrypt(self, data)

    monkeypatch.setattr(libp2p_muxer.HardenedYamux, "_write_whole", write_and_note)
    monkeypatch.setattr(NoiseTransportReadWriter, "encrypt", encrypt_and_note)
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        await fetch(one, other)
    assert max(frames) == libp2p_muxer.FRAME_BYTES
    assert max(messages) == MAX_PLAINTEXT_LENGTH
    small = sum(size < 1_000 for size in messages)
    assert small < 100  # no frame leaves a rest that would need a message of its own


@pytest.mark.net
async def test_frame_is_one_write_to_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = MeteredStream.write

    async def write_and_note(self: MeteredStream, data: bytes) -> None:
        sizes.append(len(data))
        await write(self, data)

    monkeypatch.setattr(MeteredStream, "write", write_and_note)
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        await fetch(one, other)
    assert max(sizes) > 4 * MAX_PLAINTEXT_LENGTH


async def test_noise_message_in_small_pieces_is_read() -> None:
    """Stock gives up after 101 partial reads, and copies each byte three times on the way."""
    data = bytes(range(200))
    rest = bytearray(len(data).to_bytes(2, "big") + data)

    class Raw:
        async def read(self, _size: int) -> bytes:
            return bytes([rest.pop(0)])

    class State:
        def decrypt(self, data: bytes) -> bytes:
            return data[::-1]

    compat.apply()
    reader = NoiseTransportReadWriter(Raw(), State())  # type: ignore[arg-type]
    assert await reader.read_msg() == data[::-1]


async def test_noise_message_that_ends_early() -> None:
    class Raw:
        def __init__(self, *parts: bytes) -> None:
            self.parts = list(parts)

        async def read(self, _size: int) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    compat.apply()
    for parts, is_clean in (((), True), ((b"\x00",), False), ((b"\x00\x03", b"ab"), False)):
        reader = NoiseTransportReadWriter(Raw(*parts), object())  # type: ignore[arg-type]
        with pytest.raises(IncompleteReadError) as caught:
            await reader.read_msg()
        assert caught.value.is_clean_close == is_clean


async def test_frames_shrink_on_a_slow_connection(autojump_clock: trio.testing.MockClock) -> None:
    pause_s = 1.0

    async def write(_data: bytes) -> None:
        await pass_time(pause_s)

    muxer = make_muxer(write)
    for _ in range(20):
        await muxer._write_frame(bytes(100))
    assert muxer.frame_bytes == libp2p_muxer.FRAME_BYTES_MIN
    assert autojump_clock.current_time() == pytest.approx(20.0)
    pause_s = 0.0
    for _ in range(20):
        await muxer._write_frame(bytes(100))
    assert muxer.frame_bytes == libp2p_muxer.FRAME_BYTES
