"""The updates that this peer signs: its incarnation, its sequence, and what it still serves."""

from collections.abc import Callable
from typing import Final, final

from p2pfed.core.config import CoreConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import OwnPlace
from p2pfed.core.events import PayloadReference
from p2pfed.core.records import ProgressRecord
from p2pfed.errors import LocalError
from p2pfed.identity import Signer
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX
from p2pfed.messages import SignedHeader, UpdateHeader, UpdateKind
from p2pfed.values import Value
from p2pfed.wire import headers

# guess: however often neighbors lose track, a full update is one of five at most. It has eight
# times the bytes of an int4 difference, so that together they have two and a half times as many.
_DIFFERENCES_BETWEEN_FULLS: Final = 4
# Everybody keeps 64 operations, to give them to newcomers.
OPERATIONS_PER_SNAPSHOT: Final = 48
# By whether an update is full.
_KINDS: Final = {
    UpdateFamily.WHOLE: {True: UpdateKind.FULL},
    UpdateFamily.DIFFERENCE: {True: UpdateKind.FULL, False: UpdateKind.DIFFERENCE},
    UpdateFamily.LEDGER: {True: UpdateKind.SNAPSHOT, False: UpdateKind.OPERATION},
}


class OwnUpdate(Value):
    """An update of this peer that others can still get.

    Attributes:
        signed: Its header.
        inline: Its payload when it travels inline.
    """

    signed: SignedHeader
    inline: bytes | None


@final
class OwnUpdates:
    """What this peer signs. It never signs two updates under one sequence of one incarnation.

    Args:
        config: What this peer was told.
        identity: Signs.
        draw_incarnation: Draws 64 bits; called at most once in a life.
        record: What the last life saved, None in the first.

    Raises:
        LocalError: If the record belongs to another run or to another identity.

    Attributes:
        incarnation: The incarnation that the next update is signed under.
    """

    def __init__(
        self,
        config: CoreConfig,
        identity: Signer,
        draw_incarnation: Callable[[], int],
        record: ProgressRecord | None,
    ) -> None:
        self._config = config
        self._identity = identity
        self._draw_incarnation = draw_incarnation
        self._served_max = _served_max(config)
        self._is_asked_for_full = False
        self._since_full = 0  # differences since the last full update, as far as they are known
        self._served: list[OwnUpdate] = []  # the newest last
        self._drawn_in_this_life = record is None
        self._told = 0  # the newest sequence of a restored incarnation that others can have
        if record is None:
            self.incarnation = draw_incarnation()
            return
        self.incarnation = record.incarnation
        if record.run_id != config.run_id:
            raise LocalError(
                f"the saved state belongs to run {record.run_id.hex()[:8]}, this is "
                f"{config.run_id.hex()[:8]}; use another state folder"
            )
        if record.own is not None:
            author = record.own.header.author
            if author != identity.peer:
                raise LocalError(
                    f"the saved state belongs to peer {author.hex()[:8]}, this is "
                    f"{identity.peer.hex()[:8]}; use that identity or another state folder"
                )
            self._served = [OwnUpdate(signed=record.own, inline=record.inline)]
            self._told = self.sequence

    @property
    def newest(self) -> OwnUpdate | None:
        """The newest update, None before the first of this incarnation."""
        return self._served[-1] if self._served else None

    @property
    def sequence(self) -> int:
        """Sequence of the newest update, 0 before the first of this incarnation."""
        return 0 if self.newest is None else self.newest.signed.header.sequence

    @property
    def is_cut_off(self) -> bool:
        """Whether others cannot get all of the own log: a restart kept its newest entry alone.

        The next update is a snapshot then, and one is enough for a life, whoever asks for what.
        """
        if self._config.family is not UpdateFamily.LEDGER or not self._served:
            return False
        return bool(self._served[0].signed.header.builds_on)

    @property
    def place(self) -> OwnPlace | None:
        """What the next difference builds on, None where every update is full."""
        family = self._config.family
        if family is UpdateFamily.WHOLE:
            return None
        is_ledger = family is UpdateFamily.LEDGER
        is_long = is_ledger and self._since_full >= OPERATIONS_PER_SNAPSHOT
        is_wanted = self._is_asked_for_full and self._since_full >= _DIFFERENCES_BETWEEN_FULLS
        return OwnPlace(
            incarnation=self.incarnation,
            sequence=self.sequence,
            needs_full=is_long or is_wanted or self.is_cut_off,
        )

    def served(self) -> list[OwnUpdate]:
        """Return the updates that others can still get, the newest last."""
        return list(self._served)

    def payload_bytes(self, content_hash: bytes) -> int | None:
        """Return the size of a payload of ours that is still served, or None."""
        for update in self._served:
            if update.signed.header.payload_hash == content_hash:
                return update.signed.header.payload_bytes
        return None

    def sequence_of(self, content_hash: bytes) -> int | None:
        """Return the sequence of the newest own update with a payload that is still served."""
        for update in reversed(self._served):
            if update.signed.header.payload_hash == content_hash:
                return update.signed.header.sequence
        return None

    def ask_full(self, first: int, last: int) -> None:
        """Take note that somebody wants differences, which may not be served any more."""
        if self._config.family is not UpdateFamily.DIFFERENCE or not self._served:
            return
        oldest = self._served[0].signed.header
        if first <= last and first < oldest.sequence and oldest.builds_on is not None:
            self._is_asked_for_full = True

    def sign(
        self,
        payload: PayloadReference,
        *,
        round_number: int,
        gossip_step: int = 1,
        is_full: bool = True,
    ) -> list[bytes]:
        """Sign a new update; return the hashes of payloads that need not be served any more."""
        if is_full:
            self._is_asked_for_full = False
            self._since_full = 0
        else:
            self._since_full += 1
        kind = _KINDS[self._config.family][is_full]
        # Whoever has the log makes a snapshot of that; who has not fetches it.
        inline = None if kind is UpdateKind.SNAPSHOT else payload.inline
        if inline is not None:
            assert len(inline) == payload.size_bytes
            if len(inline) > INLINE_PAYLOAD_BYTES_MAX:
                inline = None
        signed = self._signed(payload, kind, round_number=round_number, gossip_step=gossip_step)
        self._served.append(OwnUpdate(signed=signed, inline=inline))
        # A snapshot says all that is before it.
        kept = 1 if kind is UpdateKind.SNAPSHOT else self._served_max
        done = self._served[:-kept]
        del self._served[:-kept]
        return [update.signed.header.payload_hash for update in done]

    def is_behind(self, incarnation: int, sequence: int) -> bool:
        """Return whether somebody knows updates that this life never told: an old backup runs here.

        It may have trained on unseen up to the same numbers; the updates are others all the same.
        Nobody can know an incarnation that was drawn in this life better than we do; so a liar
        makes us change it once in a life and not more.
        """
        if self._drawn_in_this_life:
            return False
        if self._config.family is UpdateFamily.LEDGER and incarnation != self.incarnation:
            return False  # the log of an earlier life, which is kept as others' are
        return incarnation != self.incarnation or sequence > self._told

    def note_told(self) -> None:
        """Take note that others can have the newest update from now on."""
        self._told = self.sequence

    def renew(self) -> list[bytes]:
        """Go on under a new incarnation, with the newest update signed anew as its first.

        A difference or an entry of a log is not: they belong to the incarnation before.

        Returns:
            The hashes of payloads that need not be served any more.
        """
        assert not self._drawn_in_this_life
        self.incarnation = self._draw_incarnation()
        self._drawn_in_this_life = True
        self._since_full = 0
        before, self._served = self._served, []
        if not before:
            return []
        newest = before[-1]
        header = newest.signed.header
        if header.kind is not UpdateKind.FULL:
            return [update.signed.header.payload_hash for update in before]
        payload = PayloadReference(
            content_hash=header.payload_hash,
            size_bytes=header.payload_bytes,
            inline=newest.inline,
        )
        self.sign(payload, round_number=header.round, gossip_step=header.gossip_step)
        return [update.signed.header.payload_hash for update in before[:-1]]

    def _signed(
        self, payload: PayloadReference, kind: UpdateKind, *, round_number: int, gossip_step: int
    ) -> SignedHeader:
        newest = self.newest
        header = UpdateHeader(
            run_id=self._config.run_id,
            author=self._identity.peer,
            incarnation=self.incarnation,
            sequence=self.sequence + 1,
            previous=headers.NO_PREVIOUS if newest is None else newest.signed.update_id,
            kind=kind,
            base=self.sequence if kind is UpdateKind.DIFFERENCE else 0,
            round=round_number,
            gossip_step=gossip_step,
            method=self._config.method,
            codec=self._config.codec,
            payload_bytes=payload.size_bytes,
            payload_hash=payload.content_hash,
        )
        return headers.sign(header, self._identity)


def _served_max(config: CoreConfig) -> int:
    if config.family is UpdateFamily.LEDGER:
        return config.limits.operations_per_author_max
    if config.family is UpdateFamily.DIFFERENCE:
        return config.limits.differences_per_author_max
    # A synchronous neighbor may still fetch the row of the round that we have just left.
    return 2 if config.schedule.mode is ScheduleMode.SYNCHRONOUS else 1
