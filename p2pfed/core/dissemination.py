"""How updates travel: published to neighbors, taken from neighbors, forgotten."""

from typing import final

from p2pfed.core.authors import Authors
from p2pfed.core.config import CoreConfig, ScheduleMode, UpdateFamily
from p2pfed.core.equivocation import Equivocation
from p2pfed.core.events import PayloadReference
from p2pfed.core.held import Held, HeldUpdates, Stage
from p2pfed.core.journal import Journal
from p2pfed.core.ledger import Admission, Ledger
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.notices import (
    IncarnationStarted,
    LogsLeftOut,
    UpdatePublished,
    UpdateRejected,
)
from p2pfed.core.outbox import FRAMES_PER_OFFER, Outbox, offer_of
from p2pfed.core.own import OwnUpdates
from p2pfed.core.recipients import Recipients
from p2pfed.core.transfers import Transfers
from p2pfed.errors import LimitExceeded, SpecMismatch
from p2pfed.identity import PeerId
from p2pfed.messages import SignedHeader
from p2pfed.wire.reading import Reader


@final
class Dissemination:
    """Publishes own updates and takes others'."""

    def __init__(
        self,
        config: CoreConfig,
        own_peer: PeerId,
        own: OwnUpdates,
        held: HeldUpdates,
        transfers: Transfers,
        journal: Journal,
        ledger: Ledger,
        authors: Authors,
        neighbors: Neighbors,
        equivocation: Equivocation,
        recipients: Recipients,
        outbox: Outbox,
        reader: Reader,
    ) -> None:
        self._config = config
        self._keeps_rounds = config.schedule.mode is ScheduleMode.SYNCHRONOUS
        self._family = config.family
        self._own_peer = own_peer
        self._own = own
        self._held = held
        self._transfers = transfers
        self._journal = journal
        self._ledger = ledger
        self._authors = authors
        self._neighbors = neighbors
        self._equivocation = equivocation
        self._recipients = recipients
        self._outbox = outbox
        self._reader = reader
        self._is_told_of_full_logs = False

    # Own updates ---------------------------------------------------------------------------

    def publish(
        self, payload: PayloadReference, *, is_full: bool, model_job: int, now_s: float
    ) -> None:
        """Sign a payload as the update of the current round and offer it to its recipients."""
        progress = self._journal.progress
        round_number = progress.round
        replaced = self._own.sign(
            payload, round_number=round_number, gossip_step=progress.gossip_step, is_full=is_full
        )
        # The sequence number is spent on disk before anybody can see it.
        self._journal.save(model_job=model_job)
        newest = self._own.newest
        if self._family is UpdateFamily.LEDGER and newest is not None:
            self._transfers.count_life(newest.signed)  # among those of earlier lives
        self._push(replaced, now_s)
        self._outbox.notify(
            UpdatePublished(
                round=round_number,
                sequence=self._own.sequence,
                payload_bytes=payload.size_bytes,
            )
        )

    def is_published(self, payload: PayloadReference) -> bool:
        """Return whether the newest own update has this very payload."""
        newest = self._own.newest
        return newest is not None and newest.signed.header.payload_hash == payload.content_hash

    def is_own(self, author: PeerId, incarnation: int) -> bool:
        """Return whether an update is of this life; the log of an earlier one is like others'."""
        is_of_this_life = incarnation == self._own.incarnation
        return author == self._own_peer and (
            is_of_this_life or self._family is not UpdateFamily.LEDGER
        )

    def is_heard(self, author: PeerId, now_s: float) -> bool:
        """Return whether an author's updates count, whoever passes them on.

        All must have the same logs, and only some may have banned their author: a proof counts.
        """
        if self._family is UpdateFamily.LEDGER:
            return not self._ledger.is_frozen(author)
        return not self._ledger.is_banned(author, now_s)

    def on_claim(self, incarnation: int, sequence: int, now_s: float) -> None:
        """Take somebody's word that it knows an update of ours.

        It is no proof. If it says that we run on an old backup we believe it, once in a life: a
        lie costs us a new incarnation, but the truth ignored would make us equivocate.
        """
        if not self._own.is_behind(incarnation, sequence):
            return
        replaced = self._own.renew()
        self._journal.save()
        self._outbox.notify(IncarnationStarted(incarnation=self._own.incarnation))
        self._push(replaced, now_s)

    # From peers ----------------------------------------------------------------------------

    def on_update(
        self, peer: PeerId, signed: SignedHeader, inline: bytes | None, now_s: float
    ) -> None:
        """Take an Announce or a Deliver.

        Raises:
            RemoteError: If it breaks a rule of the run; the sender is to blame.
        """
        header = signed.header
        if inline is not None:
            self._reader.check_payload(header, inline)
        if self.is_own(header.author, header.incarnation):
            self._on_echo(signed, now_s)
            return
        if not self._authors.is_author(header.author):
            self._outbox.count("ignored.stranger")
            self._tell_of_full_logs(signed)
            return
        if not self.is_heard(header.author, now_s):
            self._outbox.count("ignored.banned")
            return
        held = self._held.get(signed)
        if held is not None:
            self._add_holder(held, peer, inline, now_s)
            return
        is_verified = self._is_verified(signed)
        if is_verified and not self.lacks(signed):
            self._outbox.count("duplicate.update")
        elif is_verified or self._admit(peer, signed):
            self._hold(peer, signed, inline, now_s)

    def lacks(self, signed: SignedHeader) -> bool:
        """Return whether an update is known, of use, and cannot be had as it is.

        It was lost on the way, or whoever offered it is gone. Of use is an author's newest, and
        every difference or operation that was not integrated.
        """
        if not self._is_of_use(signed) or self._held.is_unusable(signed):
            return False
        held = self._held.get(signed)
        if held is None:
            return True
        is_offered = any(self._neighbors.is_greeted(peer) for peer in held.holders)
        return held.stage is Stage.WAITING and not is_offered

    # From the core -------------------------------------------------------------------------

    def advance_to(self, exchange: int) -> None:
        """Forget updates of exchanges that no synchronous integration will want."""
        self._held.exchange_needed = exchange
        for author in self._held.authors():
            self._transfers.trim(author)

    def forget(self, peer: PeerId) -> None:
        """Forget the updates of a peer that is no neighbor any more, or is banned.

        A log stays, until its author is proven to lie.
        """
        self._held.forget_holder(peer)
        if self._family is UpdateFamily.LEDGER and not self._ledger.is_frozen(peer):
            return
        for held in self._held.of(peer):
            self._transfers.drop(held)
        self._held.forget_author(peer)
        if not self._authors.outlives_its_links(peer):
            self._ledger.part(peer)

    # Inside --------------------------------------------------------------------------------

    def _push(self, replaced: list[bytes], now_s: float) -> None:
        for content_hash in replaced:
            self._transfers.release(content_hash)
        newest = self._own.newest
        if newest is None:
            return
        peers = self._recipients.draw()
        if peers:
            self._own.note_told()
            peers = self._neighbors.with_room(peers, FRAMES_PER_OFFER, now_s)
            self._outbox.send_all(peers, offer_of(newest.signed, newest.inline))

    def _on_echo(self, signed: SignedHeader, now_s: float) -> None:
        """Notice an own update that this life does not know: its disk was lost or is old."""
        header = signed.header
        if self._own.is_behind(header.incarnation, header.sequence):
            self._reader.verify(signed)
            self.on_claim(header.incarnation, header.sequence, now_s)

    def _tell_of_full_logs(self, signed: SignedHeader) -> None:
        """Tell once that a log is left out: others, who heard of authors in another order, have it.

        Raises:
            RemoteError: If nobody wrote it.
        """
        if self._is_told_of_full_logs or not self._authors.is_full:
            return
        self._check_run(signed)
        self._reader.verify(signed)
        self._is_told_of_full_logs = True
        most = self._config.limits.log_authors_max
        reason = (
            f"logs of {most} authors are kept here (limits.log_authors_max), and now there are "
            "more: models of peers may differ from now on; begin a run with fewer authors, or let "
            "certificates say who takes part"
        )
        self._outbox.notify(LogsLeftOut(reason=reason))

    def _is_verified(self, signed: SignedHeader) -> bool:
        header = signed.header
        return self._ledger.known(header.author, header.incarnation, header.sequence) == signed

    def _admit(self, peer: PeerId, signed: SignedHeader) -> bool:
        """Verify a header and return whether its payload is wanted."""
        header = signed.header
        self._check_run(signed)
        if not self._counts(signed):
            self._outbox.count("ignored.life")
            return False
        self._reader.verify(signed)
        may_be_reborn = peer == header.author or not self._neighbors.is_greeted(header.author)
        is_log = self._family is UpdateFamily.LEDGER
        places = self._held.places(header.author) if is_log else None
        admission = self._ledger.admit(signed, may_be_reborn=may_be_reborn, places=places)
        if admission is Admission.EQUIVOCATION:
            before = self._ledger.known(header.author, header.incarnation, header.sequence)
            assert before is not None
            self._equivocation.prove(before, signed)
        elif admission is not Admission.NEW and not self._is_of_use(signed):
            self._outbox.count(f"ignored.{admission}")
        elif header.payload_bytes > self._config.limits.payload_bytes_max:
            # The run allows it and this machine does not: nobody is to blame.
            self._held.mark_unusable(signed)
            limit = self._config.limits.payload_bytes_max
            reason = f"payload of {header.payload_bytes} bytes, at most {limit} here"
            self._outbox.notify(UpdateRejected(peer=header.author, reason=reason))
        else:
            return True
        return False

    def _check_run(self, signed: SignedHeader) -> None:
        header = signed.header
        if header.run_id != self._config.run_id:
            raise SpecMismatch("update of another run")
        if (header.method, header.codec) != (self._config.method, self._config.codec):
            raise SpecMismatch(f"method {header.method} over {header.codec} is not this run's")
        limit = self._config.payload_bytes_max
        if header.payload_bytes > limit:
            raise LimitExceeded(f"payload of {header.payload_bytes} bytes, at most {limit}")

    def _counts(self, signed: SignedHeader) -> bool:
        if self._family is not UpdateFamily.LEDGER:
            return True
        return self._held.may_take_life(signed.header.author, signed.header.incarnation)

    def _is_of_use(self, signed: SignedHeader) -> bool:
        header = signed.header
        match self._family:
            case UpdateFamily.WHOLE:
                return signed == self._ledger.newest(header.author)
            case UpdateFamily.DIFFERENCE:
                is_current = header.incarnation == self._ledger.incarnation(header.author)
                return is_current and not self._held.is_passed_over(signed)
            case UpdateFamily.LEDGER:
                return self._counts(signed) and not self._held.is_passed_over(signed)

    def _hold(self, peer: PeerId, signed: SignedHeader, inline: bytes | None, now_s: float) -> None:
        before = self._held.of(signed.header.author)
        place: int | None = None
        if self._family is UpdateFamily.DIFFERENCE:
            self._make_room(signed, before)
        elif self._family is UpdateFamily.LEDGER:
            self._make_room_in_log(signed)
        elif not self._keeps_rounds:
            # An update not yet begun is superseded, and its place in line with it; one under way
            # is finished: else a fast author would never be heard.
            for held in before:
                if held.is_pending:
                    place = held.number
                    self._transfers.drop(held)
        elif len(before) >= self._config.limits.updates_per_author_max:
            # The author is ahead by several rounds. What waits, its author may not serve any more;
            # of what is here the oldest would be used again and again by who is far behind.
            self._transfers.drop(min(before, key=lambda held: not held.is_pending))
        self._add_holder(self._held.add(signed, number=place), peer, inline, now_s)

    def _make_room(self, signed: SignedHeader, before: list[Held]) -> None:
        """Drop what a difference makes worthless, or all if so many are waiting for integration."""
        incarnation = signed.header.incarnation
        limit = self._config.limits.differences_per_author_max
        for held in before:
            if held.signed.header.incarnation != incarnation or len(before) >= limit:
                self._transfers.drop(held)

    def _make_room_in_log(self, signed: SignedHeader) -> None:
        """Drop the oldest entry that is integrated, or all if so many are waiting for that."""
        incarnation = signed.header.incarnation
        line = self._held.of_life(signed.header.author, incarnation)
        if len(line) < self._config.limits.operations_per_author_max:
            return
        integrated = [held for held in line if self._held.is_passed_over(held.signed)]
        for held in integrated[:1] or line:
            self._transfers.drop(held)

    def _add_holder(self, held: Held, peer: PeerId, inline: bytes | None, now_s: float) -> None:
        if peer not in held.holders:
            held.holders.append(peer)
        if inline is not None:
            self._transfers.receive_inline(held, inline, now_s)
