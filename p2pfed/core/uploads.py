"""Whom to serve a payload: what a neighbor may pull, and how many at a time."""

from typing import final

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import AnswerPayload
from p2pfed.core.events import PayloadWanted
from p2pfed.core.held import HeldUpdates, Stage
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.outbox import Outbox
from p2pfed.core.own import OwnUpdates
from p2pfed.core.recipients import Recipients
from p2pfed.identity import PeerId


@final
class Uploads:
    """Answers requests for payloads and counts the transfers under way."""

    def __init__(
        self,
        config: CoreConfig,
        own: OwnUpdates,
        held: HeldUpdates,
        neighbors: Neighbors,
        recipients: Recipients,
        outbox: Outbox,
    ) -> None:
        self._config = config
        self._own = own
        self._held = held
        self._neighbors = neighbors
        self._recipients = recipients
        self._outbox = outbox
        self._running: dict[int, PeerId] = {}  # by token

    def handle_wanted(self, event: PayloadWanted) -> None:
        """Decide whether a peer may have a payload."""
        refusal = self._refusal(event)
        if not refusal:
            self._running[event.token] = event.peer
        self._outbox.add(
            AnswerPayload(
                token=event.token,
                content_hash=event.content_hash,
                offset=None if refusal else event.offset,
                refusal=refusal,
            )
        )

    def handle_ended(self, token: int) -> None:
        """Free the place of a finished transfer."""
        if self._running.pop(token, None) is None:
            self._outbox.count("stale.upload")

    def _refusal(self, event: PayloadWanted) -> str:
        if event.content_hash == self._config.run_id:
            size_bytes = self._config.genesis_bytes  # a newcomer has no run to say hello with
        else:
            if not self._neighbors.is_greeted(event.peer):
                return "say hello first"
            found = self._size_of(event.content_hash)
            if found is None:
                return "not held here"
            sequence = self._own.sequence_of(event.content_hash)
            if sequence is None and self._recipients.are_some:
                return "updates of others are not passed on here"
            if sequence is not None and not self._recipients.may_have(event.peer, sequence):
                is_for_some = self._recipients.are_some
                return "not for this peer" if is_for_some else "above the quota of this peer"
            size_bytes = found
        if not 0 <= event.offset <= size_bytes:
            return f"offset {event.offset} is not within {size_bytes} bytes"
        limits = self._config.limits
        to_peer = sum(1 for peer in self._running.values() if peer == event.peer)
        if to_peer >= limits.uploads_per_peer_max:
            return f"{to_peer} transfers to this peer are under way"
        to_strangers = sum(not self._neighbors.is_greeted(p) for p in self._running.values())
        is_stranger = not self._neighbors.is_greeted(event.peer)
        if is_stranger and to_strangers >= limits.stranger_uploads_max:
            return f"{to_strangers} transfers to newcomers are under way"
        return ""

    def _size_of(self, content_hash: bytes) -> int | None:
        own_bytes = self._own.payload_bytes(content_hash)
        if own_bytes is not None:
            return own_bytes
        for held in self._held.with_payload(content_hash):
            if held.stage is Stage.VALID:
                return held.signed.header.payload_bytes
        return None
