"""What a simulated peer learns with: the workbench's interface, and a stand-in without torch."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol, final

from blake3 import blake3

from p2pfed.core.effects import StartIntegration, StartTraining
from p2pfed.core.events import Evaluation, OffenceKind, Verdict
from p2pfed.errors import CodecError, LocalError
from p2pfed.identity import PeerId
from p2pfed.learn.privacy.guard import PrivacySpent
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX
from p2pfed.messages import UpdateHeader

ShouldStop = Callable[[], bool]
LoadPayload = Callable[[bytes], bytes]


def never() -> bool:
    """Answer that a job need not stop."""
    return False


def unchanged(number: float) -> float:
    """Return what is to be published as it is."""
    return number


class TrainingReport(Protocol):
    """What a training did; see `p2pfed.learn.learner.TrainingReport`."""

    @property
    def loss(self) -> float | None:
        """Mean loss, None when no step was taken."""

    @property
    def examples(self) -> int:
        """Examples seen."""


class TrainingOutcome(Protocol):
    """What a training job did; see `p2pfed.learn.jobs.TrainingOutcome`."""

    @property
    def payload(self) -> bytes:
        """The update, encoded."""

    @property
    def report(self) -> TrainingReport:
        """What the local steps did."""

    @property
    def is_full(self) -> bool:
        """Whether the payload is the whole vector."""


class IntegrationOutcome(Protocol):
    """What an integration did; see `p2pfed.learn.jobs.IntegrationOutcome`."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One per row, in the order of the rows."""

    @property
    def own_weight(self) -> float:
        """Coefficient of the own row."""

    @property
    def evaluation(self) -> Evaluation | None:
        """Of the new model, when one was asked for."""

    @property
    def note(self) -> str:
        """Why the own model was kept, or empty."""


class Bench(Protocol):
    """What the simulator asks of `p2pfed.learn.workbench.Workbench`, and of what stands in."""

    @property
    def privacy_spent(self) -> PrivacySpent | None:
        """What was told about training rows so far; None where nobody counts."""

    def train(self, effect: StartTraining, should_stop: ShouldStop = ...) -> TrainingOutcome:
        """Take the round's local steps and encode the own vector.

        Raises:
            LocalError: If that failed; nothing is changed.
        """

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check that an update can be integrated.

        Raises:
            RemoteError: If it cannot.
        """

    def remake(self, header: UpdateHeader) -> bytes | None:
        """Make a snapshot of the own ledger, None if that has not come as far.

        Raises:
            RemoteError: If the ledger has another one.
        """

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: LoadPayload,
        should_stop: ShouldStop = ...,
    ) -> IntegrationOutcome:
        """Integrate rows into the own model, and evaluate it if asked to.

        Rows that came in their frame have not been validated: the verdict on one that nobody can
        read says so with its `offence`.
        """

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the own vector, 32 bytes."""

    def save(self) -> bytes:
        """Return all that later jobs depend on."""

    def load(self, data: bytes) -> None:
        """Restore what `save` returned."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StubReport:
    """What the steps of a stub did."""

    loss: float | None
    examples: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StubTraining:
    """What a stub's training did."""

    payload: bytes
    report: StubReport
    is_full: bool = True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StubIntegration:
    """What a stub's integration did."""

    verdicts: tuple[Verdict, ...]
    own_weight: float
    evaluation: Evaluation | None
    note: str


_VALUES: Final = 4  # enough to see mixing, few enough to be free
_VECTOR: Final = struct.Struct(f"<{_VALUES}d")
_MAGIC: Final = b"stub"
_STEP: Final = 0.1  # how far one training goes towards the peer's own target
_NORM_CAP_RATIO: Final = 3.0  # as robust's default: a longer row is rejected

PAYLOAD_BYTES_MIN: Final = len(_MAGIC) + _VECTOR.size
INLINE_PAYLOAD_BYTES: Final = 256  # travels in a frame
LARGE_PAYLOAD_BYTES: Final = 2 * INLINE_PAYLOAD_BYTES_MAX  # is fetched


@final
class StubBench:
    """A bench whose model is four numbers: each peer pulls them to a target of its own.

    Payloads are real bytes of a chosen size, so that everything but the learning is as with a
    workbench. Arithmetic is addition and multiplication of floats: equal on every machine.

    Args:
        index: Number of the peer; decides its target.
        payload_bytes: Size of its payloads; above 32 KiB they are fetched rather than pushed.
        before_publish: Applied to each published number; makes a liar.
        failures: So many first trainings fail, as when a machine runs out of memory.

    Attributes:
        vector: The model.
        target: Where trainings alone would take it.
    """

    def __init__(
        self,
        index: int,
        *,
        payload_bytes: int = INLINE_PAYLOAD_BYTES,
        before_publish: Callable[[float], float] = unchanged,
        failures: int = 0,
    ) -> None:
        assert payload_bytes >= PAYLOAD_BYTES_MIN
        self.vector: tuple[float, ...] = (0.0,) * _VALUES
        self.target = tuple(1.0 + (index * (k + 1)) % 7 / 7.0 for k in range(_VALUES))
        self._index = index
        self._payload_bytes = payload_bytes
        self._before_publish = before_publish
        self._failures = failures

    @property
    def privacy_spent(self) -> None:
        """Count nothing: there are no rows."""

    def train(
        self,
        effect: StartTraining,
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubTraining:
        """Pull the vector to the own target and encode it.

        Raises:
            LocalError: As often as `failures` said.
        """
        if self._failures > 0:
            self._failures -= 1
            raise LocalError("the stub was told to fail")
        loss = None
        if effect.train:
            self.vector = tuple(
                x + _STEP * (t - x) for x, t in zip(self.vector, self.target, strict=True)
            )
            loss = max(abs(t - x) for x, t in zip(self.vector, self.target, strict=True))
        sent = _VECTOR.pack(*map(self._before_publish, self.vector))
        label = f"{self._index}/{effect.round}".encode()
        filler = blake3(label + sent).digest(length=self._payload_bytes - PAYLOAD_BYTES_MIN)
        report = StubReport(loss=loss, examples=int(effect.train))
        return StubTraining(payload=_MAGIC + sent + filler, report=report)

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check magic, size and numbers.

        Raises:
            CodecError: If the payload is not one of a stub.
        """
        del header
        self._decode(payload)

    def remake(self, header: UpdateHeader) -> bytes | None:  # noqa: ARG002 - as a ledger's
        """Make nothing: every update of this kind is fetched."""
        return None

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: LoadPayload,
        should_stop: ShouldStop = never,  # noqa: ARG002 - virtual jobs are canceled before they run
    ) -> StubIntegration:
        """Average with the rows that are not too long; rejected weight goes to the own row."""
        read, refused = self._read(effect, load_payload)
        rows = list(read.values())
        norms = [max(map(abs, row)) for row in rows]
        own_norm = max(map(abs, self.vector))
        cap = _NORM_CAP_RATIO * median([own_norm, *norms]) if rows else 0.0
        accepted = [norm <= cap or norm == 0.0 for norm in norms]
        weight = 1.0 / (max(effect.degree, len(rows)) + 1)
        of_peers = {row.peer: row.importance for row in effect.rows}
        importances = [of_peers[peer] * it for peer, it in zip(read, accepted, strict=True)]
        total, total_max = weight * sum(importances), 1.0 - weight
        if max(importances, default=1.0) > 1.0 and total > total_max:  # the own row keeps its share
            importances = [it * (total_max / total) for it in importances]
        own_weight = 1.0 - weight * sum(importances)
        mixed = [own_weight * x for x in self.vector]
        for row, importance in zip(rows, importances, strict=True):
            if importance:
                mixed = [m + weight * importance * x for m, x in zip(mixed, row, strict=True)]
        self.vector = tuple(mixed)
        found = {
            peer: Verdict(
                peer=peer, weight=weight * importance, reason="" if importance else "norm-cap"
            )
            for peer, importance in zip(read, importances, strict=True)
        }
        return StubIntegration(
            verdicts=tuple((refused | found)[row.peer] for row in effect.rows),
            own_weight=own_weight,
            evaluation=self._evaluate(effect),
            note="",
        )

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the vector."""
        return blake3(_VECTOR.pack(*self.vector)).digest()

    def save(self) -> bytes:
        """Return the vector's bytes."""
        return _VECTOR.pack(*self.vector)

    def load(self, data: bytes) -> None:
        """Restore what `save` returned."""
        self.vector = _VECTOR.unpack(data)

    def _read(
        self, effect: StartIntegration, load_payload: LoadPayload
    ) -> tuple[dict[PeerId, tuple[float, ...]], dict[PeerId, Verdict]]:
        """Return the rows by peer, and verdicts on those that are none."""
        rows: dict[PeerId, tuple[float, ...]] = {}
        refused: dict[PeerId, Verdict] = {}
        for row in effect.rows:
            try:
                rows[row.peer] = self._decode(load_payload(row.header.payload_hash))
            except CodecError as error:
                refused[row.peer] = Verdict(
                    peer=row.peer, weight=0.0, reason=error.kind, offence=OffenceKind.CODEC
                )
        return rows, refused

    def _evaluate(self, effect: StartIntegration) -> Evaluation | None:
        if not effect.evaluate and not effect.test:
            return None
        loss = max(abs(x - 1.5) for x in self.vector)  # 1.5: near the mean of all targets
        return Evaluation(score=-loss, loss=loss, test_score=-loss if effect.test else None)

    def _decode(self, payload: bytes) -> tuple[float, ...]:
        if len(payload) != self._payload_bytes or not payload.startswith(_MAGIC):
            raise CodecError(f"{len(payload)} bytes are no payload of a stub")
        values: tuple[float, ...] = _VECTOR.unpack_from(payload, len(_MAGIC))
        if not all(math.isfinite(value) for value in values):
            raise CodecError("NaN or infinity")
        return values
