"""Stub benches with payloads of any size that take no memory."""

from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final, cast, final

from p2pfed.core.effects import StartIntegration, StartTraining
from p2pfed.errors import CodecError
from p2pfed.messages import UpdateHeader
from sim.benches import (
    INLINE_PAYLOAD_BYTES,
    Bench,
    IntegrationOutcome,
    ShouldStop,
    StubReport,
    StubTraining,
    never,
)

STUB_BYTES: Final = INLINE_PAYLOAD_BYTES


@final
class PaddedBench:
    """A stub whose payloads have zeros behind them.

    Pages that nobody wrote to are one page for all, so that sixteen peers with updates of 168 MB
    fit into any machine. Everything else is as with bytes: they are hashed, cut and carried.

    Args:
        stub: Whose payloads have `STUB_BYTES`.
        payload_bytes: Size of what is published.
    """

    def __init__(self, stub: Bench, *, payload_bytes: int) -> None:
        self._stub = stub
        self._payload_bytes = payload_bytes

    @property
    def privacy_spent(self) -> None:
        """Count nothing: there are no rows."""

    def train(self, effect: StartTraining, should_stop: ShouldStop = never) -> StubTraining:
        """Let the stub train, and pad what it made."""
        made = self._stub.train(effect, should_stop)
        padded = mmap(-1, self._payload_bytes, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        padded[: len(made.payload)] = made.payload
        return StubTraining(
            payload=cast(bytes, padded),  # as far as the simulator looks at it
            report=StubReport(loss=made.report.loss, examples=made.report.examples),
            is_full=made.is_full,
        )

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check a payload.

        Raises:
            CodecError: If it is not one of a padded stub.
        """
        if len(payload) != self._payload_bytes:
            raise CodecError(f"{len(payload)} bytes are no payload of a padded stub")
        self._stub.validate(header, payload[:STUB_BYTES])

    def remake(self, header: UpdateHeader) -> bytes | None:  # noqa: ARG002 - as a ledger's
        """Make nothing: a few rounds need no snapshot."""
        return None

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: Callable[[bytes], bytes],
        should_stop: ShouldStop = never,
    ) -> IntegrationOutcome:
        """Let the stub take in rows without their zeros."""
        return self._stub.integrate(effect, lambda it: load_payload(it)[:STUB_BYTES], should_stop)

    def digest(self) -> bytes:
        """Return the stub's digest."""
        return self._stub.digest()

    def save(self) -> bytes:
        """Return what the stub has to save."""
        return self._stub.save()

    def load(self, data: bytes) -> None:
        """Restore what `save` returned."""
        self._stub.load(data)
