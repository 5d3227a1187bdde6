"""A stand-in for ledger methods without torch: logs of integers, and a model that is their sum."""

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

_NUMBER: Final = struct.Struct("<q")
_STATE: Final = struct.Struct("<32sQQq")
_MAGIC: Final = b"log!"
_TARGET: Final = 1_000

Writer = tuple[PeerId, int]


@final
class StubLogBench:
    """Adds a number per round to its own log; the model is the sum over all logs.

    Whoever has the same logs has the same model and digest, whatever the order of arrival.

    Args:
        index: Number of the peer; decides what it adds.
        own: The peer.
        payload_bytes: Size of its payloads; above 32 KiB they are fetched rather than pushed.
    """

    def __init__(self, index: int, own: PeerId, *, payload_bytes: int) -> None:
        self.logs: dict[Writer, tuple[int, int]] = {}  # to the last sequence, and the sum
        self._index = index
        self._own = own
        self._payload_bytes = payload_bytes
        self._pending: tuple[Writer, int, int] | None = None

    def train(
        self,
        effect: StartTraining,
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubTraining:
        """Add a number to the own log."""
        assert effect.own is not None
        self._settle(effect.own)
        writer = (self._own, effect.own.incarnation)
        sequence, total = self.logs.get(writer, (0, 0))
        assert sequence == effect.own.sequence
        is_full = effect.own.needs_full
        # A snapshot adds nothing: who has the log can make it.
        added = 1 + (self._index + effect.round) % 5 if effect.train and not is_full else 0
        self._pending = (writer, sequence + 1, total + added)
        payload = self._encode(writer, sequence + 1, total if is_full else added)
        report = StubReport(loss=None, examples=int(effect.train))
        return StubTraining(payload=payload, report=report, is_full=is_full)

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check kind, magic and size.

        Raises:
            CodecError: If the payload is not one of a stub.
        """
        if header.kind not in (UpdateKind.OPERATION, UpdateKind.SNAPSHOT):
            raise CodecError(f"a log has no update of kind {header.kind}")
        self._decode(payload)

    @property
    def privacy_spent(self) -> None:
        """Count nothing: there are no rows."""

    def remake(self, header: UpdateHeader) -> bytes | None:
        """Make a snapshot of a log; None if that has not come as far.

        Raises:
            CodecError: If it is another one than was signed.
        """
        writer = (header.author, header.incarnation)
        sequence, total = self.logs.get(writer, (0, 0))
        if sequence != header.sequence - 1:
            return None
        payload = self._encode(writer, header.sequence, total)
        if blake3(payload).digest() != header.payload_hash:
            raise CodecError("a snapshot of another log")
        return payload

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: Callable[[bytes], bytes],
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubIntegration:
        """Take in entries of logs."""
        assert effect.own is not None
        self._settle(effect.own)
        weight = 1.0 / (len(effect.rows) + 1)
        verdicts = []
        for row in effect.rows:
            is_followed = self._follow(row, load_payload)
            reason = "" if is_followed else GAP
            verdicts.append(Verdict(peer=row.peer, weight=weight * is_followed, reason=reason))
        for writer in [writer for writer in self.logs if writer[0] in effect.frozen]:
            del self.logs[writer]
        last = dict(effect.last_lives)
        for author, life in [it for it in self.logs if it[1] > last.get(it[0], it[1])]:
            del self.logs[author, life]
        return StubIntegration(
            verdicts=tuple(verdicts),
            own_weight=1.0 - sum(verdict.weight for verdict in verdicts),
            evaluation=self._evaluate(effect),
            note="",
        )

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of what all logs add up to.

        An own snapshot, which adds nothing, is in the own log from the next job on.
        """
        return blake3(_pack({writer: (0, it[1]) for writer, it in self.logs.items()})).digest()

    def save(self) -> bytes:
        """Return all logs, and what was trained last."""
        pending = {} if self._pending is None else {self._pending[0]: self._pending[1:]}
        return bytes([len(pending)]) + _pack(pending) + _pack(self.logs)

    def load(self, data: bytes) -> None:
        """Restore what `save` returned."""
        entries = [
            ((PeerId(author), incarnation), sequence, total)
            for author, incarnation, sequence, total in _STATE.iter_unpack(data[1:])
        ]
        self._pending = entries.pop(0) if data[0] else None
        self.logs = {writer: (sequence, total) for writer, sequence, total in entries}

    def _settle(self, place: OwnPlace) -> None:
        """Put the pending entry into the log if it was signed."""
        if self._pending is not None:
            writer, sequence, total = self._pending
            if (writer[1], sequence) == (place.incarnation, place.sequence):
                self.logs[writer] = (sequence, total)
            self._pending = None

    def _follow(self, row: IntegrationRow, load_payload: Callable[[bytes], bytes]) -> bool:
        for header in (*row.before, row.header):
            writer = (header.author, header.incarnation)
            sequence, total = self.logs.get(writer, (0, 0))
            if header.sequence <= sequence:
                continue
            number = self._decode(load_payload(header.payload_hash))
            if header.builds_on is None:
                self.logs[writer] = (header.sequence, number)
            elif header.builds_on == sequence:
                self.logs[writer] = (header.sequence, total + number)
            else:
                return False
        return True

    def _evaluate(self, effect: StartIntegration) -> Evaluation | None:
        if not effect.evaluate and not effect.test:
            return None
        loss = abs(_TARGET - sum(total for _, total in self.logs.values()))
        score = -float(loss)
        return Evaluation(score=score, loss=float(loss), test_score=score if effect.test else None)

    def _encode(self, writer: Writer, sequence: int, number: int) -> bytes:
        size = self._payload_bytes - len(_MAGIC) - _NUMBER.size
        label = f"{writer[0].hex()}/{writer[1]}/{sequence}".encode()
        return _MAGIC + _NUMBER.pack(number) + blake3(label).digest(length=size)

    def _decode(self, payload: bytes) -> int:
        if len(payload) != self._payload_bytes or not payload.startswith(_MAGIC):
            raise CodecError(f"{len(payload)} bytes are no payload of a stub")
        number: int = _NUMBER.unpack_from(payload, len(_MAGIC))[0]
        return number


def _pack(logs: dict[Writer, tuple[int, int]]) -> bytes:
    return b"".join(
        _STATE.pack(author, incarnation, sequence, total)
        for (author, incarnation), (sequence, total) in sorted(logs.items())
    )
