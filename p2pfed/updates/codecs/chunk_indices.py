"""Ascending indices within chunks of a fixed size, as many in each: Rice codes, or 12 bits each."""

from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from p2pfed.errors import CodecError

_LN2_PER_THOUSAND: Final = 693  # the best Rice parameter of geometric gaps is log2(ln 2 * mean)


@final
class RiceGaps:
    """The gaps between indices, each as a quotient in unary and `low_bits` bits.

    Layout: the quotients of all chunks, each as so many ones and a zero, then the low bits of all
    gaps; both highest bit first and filled up with zeros to whole bytes. A gap is the number of
    places between an index and the one before it, or the beginning of the chunk.

    Source: Rice 1979, "Some practical universal noiseless coding techniques".
    Differs: quotients apart from low bits, so that all can be read at once.

    Args:
        chunk: Places of a chunk.
        kept: Indices in each chunk.
    """

    def __init__(self, chunk: int, kept: int) -> None:
        self._chunk = chunk
        self._kept = kept
        mean_gap = chunk * _LN2_PER_THOUSAND // (kept * 1000)
        self.low_bits = max(0, mean_gap.bit_length() - 1)

    def bytes_max(self, chunks: int) -> int:
        """Return the most bytes that the indices of so many chunks take."""
        ones = chunks * ((self._chunk - self._kept) >> self.low_bits)
        return (chunks * self._kept + ones + 7) // 8 + self._low_bytes(chunks)

    def encode(self, indices: NDArray[np.int64]) -> bytes:
        """Write indices, shape (chunks, kept)."""
        gaps = np.diff(indices, axis=1, prepend=-1).ravel() - 1
        ends = np.cumsum((gaps >> self.low_bits) + 1)
        unary = np.ones(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
        unary[ends - 1] = 0
        low = (gaps[:, None] >> np.arange(self.low_bits)[::-1]) & 1
        return np.packbits(unary).tobytes() + np.packbits(low.astype(np.uint8)).tobytes()

    def decode(self, name: str, data: memoryview, chunks: int) -> NDArray[np.int64]:
        """Read indices, shape (chunks, kept), ascending in each chunk and below its size.

        Raises:
            CodecError: If `encode` writes these bytes for no such indices.
        """
        count = chunks * self._kept
        if len(data) > self.bytes_max(chunks) or len(data) < self._low_bytes(chunks):
            raise CodecError(f"{name}: {len(data)} bytes of indices in {chunks} chunks")
        border = len(data) - self._low_bytes(chunks)
        unary = np.unpackbits(np.frombuffer(data[:border], dtype=np.uint8))
        zeros = np.flatnonzero(unary == 0)
        used = int(zeros[count - 1]) + 1 if 0 < count <= len(zeros) else 0
        if len(zeros) < count or (used + 7) // 8 != border or bool(unary[used:].any()):
            raise CodecError(f"{name}: the gaps of indices are not {count} or have a tail")
        low = np.unpackbits(np.frombuffer(data[border:], dtype=np.uint8))
        if bool(low[count * self.low_bits :].any()):
            raise CodecError(f"{name}: a bit behind the last gap is set")
        places = low[: count * self.low_bits].reshape(count, self.low_bits)
        gaps = (np.diff(zeros[:count], prepend=-1) - 1) << self.low_bits
        gaps += places @ (1 << np.arange(self.low_bits)[::-1])
        indices = np.cumsum(gaps.reshape(chunks, self._kept) + 1, axis=1) - 1
        if bool((indices[:, -1] >= self._chunk).any()):
            raise CodecError(f"{name}: an index is outside its chunk of {self._chunk}")
        return indices

    def _low_bytes(self, chunks: int) -> int:
        return (chunks * self._kept * self.low_bits + 7) // 8


@final
class Raw12:
    """Two indices in three bytes: the lower byte of each, and between them both upper halves.

    Source: Covenant-72B's templar, `compress.py`, whose sizes this one is compared with.

    Args:
        chunk: Places of a chunk, at most 4096.
        kept: Indices in each chunk, even.
    """

    def __init__(self, chunk: int, kept: int) -> None:
        self._chunk = chunk
        self._kept = kept

    def bytes_max(self, chunks: int) -> int:
        """Return the bytes that the indices of so many chunks take."""
        return chunks * self._kept // 2 * 3

    def encode(self, indices: NDArray[np.int64]) -> bytes:
        """Write indices, shape (chunks, kept)."""
        first, second = indices.reshape(-1, 2).T
        middle = (first >> 8) | ((second & 15) << 4)
        return np.stack((first & 255, middle, second >> 4), axis=1).astype(np.uint8).tobytes()

    def decode(self, name: str, data: memoryview, chunks: int) -> NDArray[np.int64]:
        """Read indices, shape (chunks, kept), ascending in each chunk and below its size.

        Raises:
            CodecError: If `encode` writes these bytes for no such indices.
        """
        if len(data) != self.bytes_max(chunks):
            raise CodecError(f"{name}: {len(data)} bytes of indices in {chunks} chunks")
        low, middle, high = np.frombuffer(data, dtype=np.uint8).astype(np.int64).reshape(-1, 3).T
        pairs = np.stack((low | ((middle & 15) << 8), (middle >> 4) | (high << 4)), axis=1)
        indices = pairs.reshape(chunks, self._kept)
        if bool((np.diff(indices, axis=1) <= 0).any()):
            raise CodecError(f"{name}: the indices of a chunk do not ascend")
        if bool((indices[:, -1] >= self._chunk).any()):
            raise CodecError(f"{name}: an index is outside its chunk of {self._chunk}")
        return indices
