"""Entropy coding by zstd, in frames whose size is known before anything is decompressed."""

from typing import Final

import zstandard

from p2pfed.errors import CodecError
from p2pfed.updates.codec import check_length

# Quantized values look Gaussian: they have frequent bytes and hardly any repetition. A search for
# repetitions that gives up at once leaves zstd's Huffman coder. On bfloat16 planes that is both
# smaller than level 3 (10.7 and 11.4 bits per value) and five times as fast; a run of zeros is
# found all the same. A window of 2^14 bytes is also the most that shares one Huffman table, so
# that those of two planes seldom meet in one.
_PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    window_log=14,
    hash_log=6,
    chain_log=6,
    search_log=1,
    min_match=7,
    target_length=0,
)


def compress(data: bytes | memoryview) -> bytes:
    """Return a zstd frame that states its size; equal data give equal frames."""
    compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)
    frame: bytes = compressor.compress(data)
    return frame


def compressed_bytes_max(plain: int) -> int:
    """Return what incompressible bytes can grow to: ZSTD_COMPRESSBOUND of zstd.h."""
    margin = (131_072 - plain) >> 11 if plain < 131_072 else 0
    return plain + (plain >> 8) + margin


def decompress(name: str, frame: bytes | memoryview, expected: int) -> bytes:
    """Return the content of a frame.

    Args:
        name: The codec's, for errors.
        frame: Any bytes.
        expected: Bytes of its content.

    Raises:
        CodecError: If it is not one frame, states another size or none, or holds something else.
    """
    try:
        # zstd allocates what the frame says before it reads on: the claim is checked first.
        claimed = zstandard.get_frame_parameters(frame).content_size
        if claimed != expected:
            raise CodecError(f"{name}: a frame of {claimed} bytes, expected {expected}")
        plain: bytes = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CodecError(f"{name}: {error}") from error
    check_length(name, plain, expected)
    return plain
