"""What peers send to each other: rows, as a codec makes them, and how many bytes that is."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from p2pfed.learn.mixing import Claim
from p2pfed.updates.codec import Codec, check_contractive
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.wire.payload import encode_payload


@final
class Letters:
    """Turns rows into what neighbors get to know of them.

    As in `p2pfed.learn.workbench`, rows of a codec for differences are public copies, and a peer
    moves its vector by as much as integration moves its copy.

    Args:
        codec: How rows travel; None as they are.
        claims: What each peer says of itself beside its row.
        size: d.

    Raises:
        ConfigError: If a codec for differences can lose a vector as a whole.
    """

    def __init__(self, codec: Codec | None, claims: Sequence[Claim], *, size: int) -> None:
        self._codec = codec
        self._claims = [claim.to_section() for claim in claims]
        self._size = size
        self._copies: Tensor | None = None  # (n, d)
        # An exact codec is spared: its bytes are as many for every row.
        row_bytes = 4 * size
        self._exact_bytes = [row_bytes] * len(claims)
        if codec is not None and self.is_exact(codec):
            self._exact_bytes = [self._payload_bytes(bytes(row_bytes), it) for it in self._claims]
        if codec is not None and codec.is_for_differences:
            check_contractive(codec, "difference gossip")
            self._copies = torch.zeros(len(claims), size)

    @staticmethod
    def is_exact(codec: Codec | None) -> bool:
        """Return whether neighbors get to know rows as they are."""
        return codec is None or isinstance(codec, Float32)

    @property
    def has_copies(self) -> bool:
        """Whether rows are public copies, the own ones too."""
        return self._copies is not None

    def send(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        """Return what all get to know of each row, shape (n, d), and the bytes of each payload.

        Args:
            rows: Every peer's difference from the initial vector, shape (n, d).

        Raises:
            LocalError: If a row is not finite or beyond the codec's range.
        """
        if self._codec is None or self.is_exact(self._codec):
            return rows, self._exact_bytes
        base = torch.zeros_like(rows) if self._copies is None else self._copies
        mains = [self._codec.encode(row) for row in rows - base]
        known = base + torch.stack([self._codec.decode(main, self._size) for main in mains])
        if self._copies is not None:
            self._copies = known
        counts = [
            self._payload_bytes(main, claims)
            for main, claims in zip(mains, self._claims, strict=True)
        ]
        return known, counts

    def _payload_bytes(self, main: bytes, claims: dict[str, int | float | bool]) -> int:
        return len(encode_payload(main, claims))
