"""A stand-in for methods that publish differences, without torch: the model is one integer."""

import struct
from collections.abc import Callable
from typing import Final, final

from blake3 import blake3

from p2pfed.core.effects import IntegrationRow, OwnPlace, StartIntegration, StartTraining
from p2pfed.core.events import GAP, Evaluation, Verdict
from p2pfed.errors import CodecError
from p2pfed.identity import PeerId
from p2pfed.messages import UpdateHeader, UpdateKind
from sim.benches import ShouldStop, StubIntegration, StubReport, StubTraining, never

_NUMBERS: Final = struct.Struct("<qq")  # what changed, and what the public copy then is
_STATE: Final = struct.Struct("<32sQQq")
_OWN: Final = struct.Struct("<q")
_MAGIC: Final = b"dif!"
_STEP: Final = 10  # a training goes a tenth of the way to the peer's own target

Place = tuple[int, int]  # incarnation and sequence


@final
class StubDifferenceBench:
    """Pulls an integer to a target of its own, and publishes what changed since the last update.

    Every payload also says what the sum of all is, so that a copy which went astray stops the
    world: nothing but a bug can lead there, since authors sign both.

    Args:
        index: Number of the peer; decides its target.
        own: The peer.
        payload_bytes: Size of its payloads; above 32 KiB they are fetched rather than pushed.
    """

    def __init__(self, index: int, own: PeerId, *, payload_bytes: int) -> None:
        self.value = 0
        self.copies: dict[PeerId, tuple[int, int, int]] = {}  # incarnation, sequence, public copy
        self._index = index
        self._own = own
        self._payload_bytes = payload_bytes
        self._pending: tuple[int, int, int] | None = None

    @property
    def privacy_spent(self) -> None:
        """Count nothing: there are no rows."""

    def train(
        self,
        effect: StartTraining,
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubTraining:
        """Go towards the own target, and encode the way since the last update."""
        assert effect.own is not None
        self._settle(effect.own)
        place = (effect.own.incarnation, effect.own.sequence)
        *known, public = self.copies.get(self._own, (0, 0, 0))
        is_full = effect.own.needs_full or tuple(known) != place
        if effect.train:
            self.value += (1_000 + 100 * (self._index % 7) - self.value) // _STEP
        self._pending = (place[0], place[1] + 1, self.value)
        change = self.value if is_full else self.value - public
        report = StubReport(loss=None, examples=int(effect.train))
        return StubTraining(payload=self._encode(place, change), report=report, is_full=is_full)

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check kind, magic and size.

        Raises:
            CodecError: If the payload is not one of a stub.
        """
        if header.kind not in (UpdateKind.FULL, UpdateKind.DIFFERENCE):
            raise CodecError(f"a difference has no update of kind {header.kind}")
        self._decode(payload)

    def remake(self, header: UpdateHeader) -> bytes | None:  # noqa: ARG002 - as a ledger's
        """Make nothing: every update of this kind is fetched."""
        return None

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: Callable[[bytes], bytes],
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubIntegration:
        """Follow the differences of neighbors, and average with where they are."""
        assert effect.own is not None
        self._settle(effect.own)
        weight = 1.0 / (len(effect.rows) + 1)
        verdicts, ways = [], []
        for row in effect.rows:
            is_followed = self._follow(row, load_payload)
            if is_followed:
                ways.append(self.copies[row.peer][2] - self.value)
            reason = "" if is_followed else GAP
            verdicts.append(Verdict(peer=row.peer, weight=weight * is_followed, reason=reason))
        self.value += sum(ways) // (len(effect.rows) + 1)
        return StubIntegration(
            verdicts=tuple(verdicts),
            own_weight=1.0 - sum(verdict.weight for verdict in verdicts),
            evaluation=self._evaluate(effect),
            note="",
        )

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the integer."""
        return blake3(_OWN.pack(self.value)).digest()

    def save(self) -> bytes:
        """Return the integer, all copies, and what was trained last."""
        pending = {} if self._pending is None else {self._own: self._pending}
        return b"".join(
            [
                bytes([len(pending)]),
                _OWN.pack(self.value),
                *(_STATE.pack(peer, *copy) for peer, copy in pending.items()),
                *(_STATE.pack(peer, *copy) for peer, copy in sorted(self.copies.items())),
            ]
        )

    def load(self, data: bytes) -> None:
        """Restore what `save` returned."""
        (self.value,) = _OWN.unpack_from(data, 1)
        entries = [
            (PeerId(peer), (incarnation, sequence, public))
            for peer, incarnation, sequence, public in _STATE.iter_unpack(data[1 + _OWN.size :])
        ]
        self._pending = entries.pop(0)[1] if data[0] else None
        self.copies = dict(entries)

    def _settle(self, place: OwnPlace) -> None:
        """Make the pending update the own public copy if it was signed."""
        if self._pending is not None and self._pending[:2] == (place.incarnation, place.sequence):
            self.copies[self._own] = self._pending
        self._pending = None

    def _follow(self, row: IntegrationRow, load_payload: Callable[[bytes], bytes]) -> bool:
        for header in (*row.before, row.header):
            incarnation, sequence, public = self.copies.get(row.peer, (0, 0, 0))
            if header.incarnation == incarnation and header.sequence <= sequence:
                continue
            change, after = self._decode(load_payload(header.payload_hash))
            if header.kind is UpdateKind.DIFFERENCE:
                if (header.incarnation, header.base) != (incarnation, sequence):
                    return False
                change += public
            assert change == after, f"a copy is at {change}, its author was at {after}"
            self.copies[row.peer] = (header.incarnation, header.sequence, after)
        return row.peer in self.copies

    def _evaluate(self, effect: StartIntegration) -> Evaluation | None:
        if not effect.evaluate and not effect.test:
            return None
        loss = float(abs(1_300 - self.value))
        return Evaluation(score=-loss, loss=loss, test_score=-loss if effect.test else None)

    def _encode(self, place: Place, change: int) -> bytes:
        size = self._payload_bytes - len(_MAGIC) - _NUMBERS.size
        label = f"{self._own.hex()}/{place[0]}/{place[1]}".encode()
        return _MAGIC + _NUMBERS.pack(change, self.value) + blake3(label).digest(length=size)

    def _decode(self, payload: bytes) -> tuple[int, int]:
        if len(payload) != self._payload_bytes or not payload.startswith(_MAGIC):
            raise CodecError(f"{len(payload)} bytes are no payload of a stub")
        change, after = _NUMBERS.unpack_from(payload, len(_MAGIC))
        return change, after
