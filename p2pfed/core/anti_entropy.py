"""What neighbors know and we do not: version vectors, sightings, requests and answers."""

from collections.abc import Iterable, Sequence
from typing import final

from p2pfed.core.authors import Authors
from p2pfed.core.config import CoreConfig, UpdateFamily
from p2pfed.core.dissemination import Dissemination
from p2pfed.core.held import HeldUpdates, Stage
from p2pfed.core.ledger import Ledger
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.outbox import FRAMES_PER_OFFER, Outbox, offer_of
from p2pfed.core.own import OwnUpdates
from p2pfed.core.recipients import Recipients
from p2pfed.identity import PeerId
from p2pfed.limits import HEADS_ENTRIES_MAX, REQUEST_RANGE_MAX, SIGHTINGS_MAX
from p2pfed.messages import (
    Announce,
    Head,
    Heads,
    Heartbeat,
    Message,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Sighting,
    SignedHeader,
)
from p2pfed.wire import frames


@final
class AntiEntropy:
    """Finds out who holds what, asks for what is missing, and answers those who ask."""

    def __init__(
        self,
        config: CoreConfig,
        own_peer: PeerId,
        own: OwnUpdates,
        held: HeldUpdates,
        dissemination: Dissemination,
        ledger: Ledger,
        authors: Authors,
        neighbors: Neighbors,
        recipients: Recipients,
        outbox: Outbox,
    ) -> None:
        # A lost answer is asked for again at the next heartbeat, not by every frame until then.
        self._pause_s = config.membership.heartbeat_s / 2.0
        self._keeps_logs = config.family is UpdateFamily.LEDGER
        self._own_peer = own_peer
        self._own = own
        self._held = held
        self._dissemination = dissemination
        self._ledger = ledger
        self._authors = authors
        self._neighbors = neighbors
        self._recipients = recipients
        self._outbox = outbox
        self._asked_s: dict[tuple[PeerId, PeerId], float] = {}  # (neighbor, author) to when

    # What we tell --------------------------------------------------------------------------

    def greet(self, peer: PeerId, *, is_active: bool) -> None:
        """Open the exchange with a neighbor, whose claim of our updates has been heard."""
        self._own.note_told()
        for key in [key for key in self._asked_s if key[0] == peer]:
            del self._asked_s[key]  # answers of the last connection do not come any more
        self._outbox.send(peer, Heads(digest=self._digest(), entries=(), cursor=None))
        if not is_active:
            # It must not wait for us even until the next heartbeat.
            self._outbox.send(peer, Heartbeat(active=False, sightings=()))

    def send_heartbeats(self, *, is_active: bool) -> None:
        """Tell every neighbor that this peer lives, and what is new since the last time."""
        newest = self._own.newest
        own = [] if newest is None else [newest.signed]  # always: a lost offer is noticed here
        news = self._ledger.take_news(SIGHTINGS_MAX - len(own))
        peers = told = self._neighbors.greeted_peers()
        if own and self._recipients.are_some:
            # Others would ask for it in vain.
            told = [peer for peer in peers if self._recipients.may_have(peer, self._own.sequence)]
        self._outbox.send_all(told, _heartbeat([*own, *news], is_active=is_active))
        if told != peers:
            rest = [peer for peer in peers if peer not in told]
            self._outbox.send_all(rest, _heartbeat(news, is_active=is_active))
        if self._keeps_logs and not news:
            # Everything must reach everybody, and when it is quiet a lost last word shows.
            self._outbox.send_all(peers, Heads(digest=self._digest(), entries=(), cursor=None))

    def forget(self, peer: PeerId) -> None:
        """Forget what was asked of a peer, and about it."""
        for key in [key for key in self._asked_s if peer in key]:
            del self._asked_s[key]

    # What we are told ----------------------------------------------------------------------

    def ask_for_missing(self, signed: SignedHeader, now_s: float) -> None:
        """Ask for what an update builds on and was not integrated; its author may send it all.

        The author is asked or, where it is no neighbor, whoever offered the update. What is on its
        way is not asked for at every integration until it is here.
        """
        header = signed.header
        held = self._held.get(signed)
        holders = [header.author, *([] if held is None else held.holders)]
        peer = next((it for it in holders if self._neighbors.is_greeted(it)), None)
        if peer is None:
            return
        there = _head_of(signed)
        if self._keeps_logs:
            self._want_entries(peer, there, now_s)
        else:
            self._ask_up_to(
                peer, there, self._held.first_wanted(there.author, there.incarnation), now_s
            )

    def on_heads(self, peer: PeerId, message: Heads, now_s: float) -> None:
        """Compare version vectors: ask for what is newer there."""
        if message.digest == self._digest():
            return
        if not message.entries and message.cursor is None:
            self._outbox.send(peer, RequestHeads(after=None))
            return
        for entry in message.entries:
            self._want_newer(peer, entry, now_s)
        if message.cursor is not None:
            self._outbox.send(peer, RequestHeads(after=message.cursor))

    def on_sightings(self, peer: PeerId, sightings: Iterable[Sighting], now_s: float) -> None:
        """Compare what a neighbor saw with what was seen here."""
        for sighting in sightings:
            author = sighting.author
            if author != self._own_peer and not self._authors.is_author(author):
                continue  # most are of neighbors of the neighbor
            known = self._ledger.known(author, sighting.incarnation, sighting.sequence)
            if known is None or known.update_id == sighting.update_id:
                self._want_newer(peer, sighting, now_s)
            elif self._authors.is_author(author) and self._may_ask(peer, author, now_s):
                # Two ids in one place: the other header makes the proof.
                self._outbox.send(peer, RequestUpdates(update_ids=(sighting.update_id,)))

    # What we are asked ---------------------------------------------------------------------

    def on_request_heads(self, peer: PeerId, message: RequestHeads, now_s: float) -> None:
        """Answer with the page of the version vector that follows the cursor."""
        entries = self._heads()
        if message.after is not None:
            entries = [e for e in entries if (e.author, e.incarnation) > message.after]
        page = tuple(entries[:HEADS_ENTRIES_MAX])
        if not page:
            return  # an empty page would read as an opening frame
        cursor = (page[-1].author, page[-1].incarnation) if len(entries) > len(page) else None
        self._answer(peer, [Heads(digest=self._digest(), entries=page, cursor=cursor)], now_s)

    def on_request_full(self, peer: PeerId, message: RequestFull, now_s: float) -> None:
        """Answer with the updates of an author that can be had here, the newest last.

        Those are one, or two when rounds are kept: a neighbor in the same round needs both.
        """
        self._answer(peer, [offer_of(*it) for it in self._servable(message.author, peer)], now_s)

    def on_request_range(self, peer: PeerId, message: RequestRange, now_s: float) -> None:
        """Answer with the updates of an author in a range that can be had here."""
        if message.author == self._own_peer and message.incarnation == self._own.incarnation:
            self._own.ask_full(message.first, min(message.last, self._own.sequence))
        offers = [
            offer_of(signed, inline)
            for signed, inline in self._servable(message.author, peer)
            if signed.header.incarnation == message.incarnation
            and message.first <= signed.header.sequence <= message.last
        ]
        self._answer(peer, offers, now_s)

    def on_request_updates(self, peer: PeerId, message: RequestUpdates, now_s: float) -> None:
        """Answer with the updates that are known by these ids; headers alone serve as proof."""
        answers = []
        for update_id in message.update_ids:
            signed = self._find(update_id)
            if signed is None:
                continue
            offers = [o for o in self._servable(signed.header.author, peer) if o[0] == signed]
            answers.append(offer_of(*offers[0]) if offers else Announce(update=signed))
        self._answer(peer, answers, now_s)

    # Inside --------------------------------------------------------------------------------

    def _want_newer(self, peer: PeerId, there: Head | Sighting, now_s: float) -> None:
        author, incarnation = there.author, there.incarnation
        if self._dissemination.is_own(author, incarnation):
            self._dissemination.on_claim(incarnation, there.sequence, now_s)
            return
        if not self._authors.is_author(author) or not self._dissemination.is_heard(author, now_s):
            return
        if self._recipients.are_some and peer != author:
            return  # it was for that neighbor; the author tells whom the next one is for
        if self._keeps_logs:
            self._want_entries(peer, there, now_s)
            return
        if incarnation == self._ledger.incarnation(author):
            newest = self._ledger.newest(author)
            is_known = newest is not None and newest.header.sequence >= there.sequence
            if newest is not None and is_known and not self._dissemination.lacks(newest):
                return
        elif self._ledger.has_incarnation(author, incarnation):
            return  # an older life of that author
        elif peer != author and self._neighbors.is_greeted(author):
            return  # the author itself told us its incarnation
        if self._may_ask(peer, author, now_s):
            self._outbox.send(peer, RequestFull(author=author))

    def _want_entries(self, peer: PeerId, there: Head | Sighting, now_s: float) -> None:
        """Ask for what is missing of a log, whichever life of its author it is of."""
        author, incarnation = there.author, there.incarnation
        if not self._held.may_take_life(author, incarnation):
            return
        self._ask_up_to(peer, there, self._first_lacking(author, incarnation), now_s)

    def _ask_up_to(self, peer: PeerId, there: Head | Sighting, first: int, now_s: float) -> None:
        """Ask for a range of updates, or for the last of them if it is longer than one may be.

        A snapshot, which is never far back, makes up for those before.
        """
        author, incarnation, last = there.author, there.incarnation, there.sequence
        if first <= last and self._may_ask(peer, author, now_s):
            first = max(first, last - REQUEST_RANGE_MAX + 1)
            wanted = RequestRange(author=author, incarnation=incarnation, first=first, last=last)
            self._outbox.send(peer, wanted)

    def _first_lacking(self, author: PeerId, incarnation: int) -> int:
        """Return the sequence of a log's first entry that is wanted, and not here or on its way."""
        coming = [
            it.signed
            for it in self._held.of_life(author, incarnation)
            if it.stage is not Stage.WAITING or any(map(self._neighbors.is_greeted, it.holders))
        ]
        return self._held.last_connected(author, incarnation, coming) + 1

    def _may_ask(self, peer: PeerId, author: PeerId, now_s: float) -> bool:
        asked_s = self._asked_s.get((peer, author))
        if asked_s is not None and now_s - asked_s < self._pause_s:
            return False
        if not self._neighbors.with_room([peer], 1, now_s):
            return False
        self._asked_s[peer, author] = now_s
        return True

    def _answer(self, peer: PeerId, messages: Sequence[Message], now_s: float) -> None:
        """Send so many of the answers to a question as a neighbor may get now, in their order."""
        for message in messages:
            frame = frames.encode(message)
            entry = self._neighbors.get(peer)
            is_refused = entry is None or not entry.answers.take(float(len(frame)), now_s)
            if is_refused or not self._neighbors.with_room([peer], FRAMES_PER_OFFER, now_s):
                self._outbox.count("refused.answer")  # whoever needs it asks again
                return
            self._outbox.send_frame(peer, frame, message)

    def _servable(self, author: PeerId, peer: PeerId) -> list[tuple[SignedHeader, bytes | None]]:
        """Return what a neighbor may have of an author's updates that can be had here."""
        held = [(held.signed, held.inline) for held in self._held.valid(author)]
        if author != self._own_peer:
            return [] if self._recipients.are_some else held
        # Of an own author, held are the logs of earlier lives.
        return held + [
            (own.signed, own.inline)
            for own in self._own.served()
            if self._recipients.may_have(peer, own.signed.header.sequence)
        ]

    def _find(self, update_id: bytes) -> SignedHeader | None:
        for own in self._own.served():
            if own.signed.update_id == update_id:
                return own.signed
        return self._ledger.find(update_id)

    def _heads(self) -> list[Head]:
        """Return the newest updates here; of logs, the last before which nothing is missing."""
        heads: list[Head] = []
        for author in self._held.authors():
            lines = self._held.lines(author)
            if self._keeps_logs:
                heads += [
                    Head(author=author, incarnation=life, sequence=last)
                    for life, line in lines.items()
                    if (last := self._held.last_connected(author, life, [it.signed for it in line]))
                ]
            else:
                heads.append(_head_of([*lines.values()][-1][-1].signed))
        if self._own.newest is not None:
            heads.append(_head_of(self._own.newest.signed))
        return sorted(heads, key=lambda head: (head.author, head.incarnation))

    def _digest(self) -> bytes:
        return frames.heads_digest(self._heads())


def _heartbeat(mentioned: list[SignedHeader], *, is_active: bool) -> Heartbeat:
    sightings = tuple(
        Sighting(
            author=signed.header.author,
            incarnation=signed.header.incarnation,
            sequence=signed.header.sequence,
            update_id=signed.update_id,
        )
        for signed in sorted(mentioned, key=_place)
    )
    return Heartbeat(active=is_active, sightings=sightings)


def _place(signed: SignedHeader) -> tuple[PeerId, int]:
    return signed.header.author, signed.header.incarnation


def _head_of(signed: SignedHeader) -> Head:
    header = signed.header
    return Head(author=header.author, incarnation=header.incarnation, sequence=header.sequence)
