"""Protocol attacks on payload transfers: other bytes, or another size, than was announced."""

from typing import final

from typing_extensions import override

from sim.adversaries.adversary import Adversary
from sim.transfers import Served


@final
class WrongBytes(Adversary):
    """Serves payloads with one bit turned."""

    @override
    def served(self, payload: bytes) -> Served:
        damaged = payload[:-1] + bytes([payload[-1] ^ 1])
        return Served(size_bytes=len(payload), payload=damaged)


@final
class WrongSize(Adversary):
    """Announces and serves twice as much as its headers say."""

    @override
    def served(self, payload: bytes) -> Served:
        return Served(size_bytes=2 * len(payload), payload=payload + payload)
