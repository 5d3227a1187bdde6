"""What this peer remembers of every author: updates seen, offences, bans, proofs of lying."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, final

from p2pfed.core.config import MembershipConfig
from p2pfed.core.effects import Record
from p2pfed.core.records import AuthorRecord, decode_author, encode_author
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES, Limits
from p2pfed.messages import Evidence, SignedHeader

_PREFIX: Final = "author/"
_STRIKES_MAX: Final = 32  # 2**32 times any ban is beyond the longest


class Admission(StrEnum):
    """What a verified header is to the ledger."""

    NEW = "new"
    DUPLICATE = "duplicate"
    STALE = "stale"
    EQUIVOCATION = "equivocation"


@dataclass(slots=True, kw_only=True)
class _Author:
    """What is known of one author.

    Attributes:
        newest: Its newest header in the incarnation that is its current one.
        headers: Headers by (incarnation, sequence), kept of neighbors to detect equivocation.
        incarnations: Incarnations seen, the current one last.
        is_neighbor: Whether it is a neighbor; such authors are never forgotten.
        offences: Offences since the last ban, as of `offence_s`.
        offence_s: When the last of them happened.
        strikes: Bans so far.
        banned_until_s: End of the ban; infinity for good.
        evidence: Proof of equivocation; such an author is never heard again.
    """

    newest: SignedHeader | None = None
    headers: dict[tuple[int, int], SignedHeader] = field(default_factory=dict)
    incarnations: list[int] = field(default_factory=list)
    is_neighbor: bool = False
    offences: int = 0
    offence_s: float = 0.0
    strikes: int = 0
    banned_until_s: float = 0.0
    evidence: Evidence | None = None


@final
class Ledger:
    """Local memory of authors, bounded; bans and proofs survive a restart.

    Raises:
        LocalError: If a saved record is damaged.
    """

    def __init__(
        self, limits: Limits, membership: MembershipConfig, saved: Mapping[str, bytes]
    ) -> None:
        assert limits.authors_max > limits.neighbors_max  # neighbors are never forgotten
        self._limits = limits
        self._membership = membership
        self._authors: dict[PeerId, _Author] = {}  # the one heard of longest ago first
        self._by_id: dict[bytes, SignedHeader] = {}
        self._news: dict[PeerId, None] = {}  # authors to mention in the next heartbeat
        self._unsaved: dict[PeerId, None] = {}
        for key, value in sorted(saved.items()):
            if key.startswith(_PREFIX):
                self._restore(key, value)

    # What is known -------------------------------------------------------------------------

    @property
    def knows_authors(self) -> bool:
        """Whether there is any author, met now or blamed in an earlier life."""
        return bool(self._authors)

    def newest(self, peer: PeerId) -> SignedHeader | None:
        """Return the newest header of an author."""
        entry = self._authors.get(peer)
        return None if entry is None else entry.newest

    def find(self, update_id: bytes) -> SignedHeader | None:
        """Return a remembered header by its id."""
        return self._by_id.get(update_id)

    def known(self, peer: PeerId, incarnation: int, sequence: int) -> SignedHeader | None:
        """Return the remembered header at a place, if any."""
        entry = self._authors.get(peer)
        return None if entry is None else entry.headers.get((incarnation, sequence))

    def incarnation(self, peer: PeerId) -> int | None:
        """Return the current incarnation of an author, if any was seen."""
        entry = self._authors.get(peer)
        return entry.incarnations[-1] if entry and entry.incarnations else None

    def has_incarnation(self, peer: PeerId, incarnation: int) -> bool:
        """Return whether an incarnation of an author has been seen."""
        entry = self._authors.get(peer)
        return entry is not None and incarnation in entry.incarnations

    def is_banned(self, peer: PeerId, now_s: float) -> bool:
        """Return whether nothing of this peer is heard now."""
        entry = self._authors.get(peer)
        return entry is not None and now_s < entry.banned_until_s

    def is_frozen(self, peer: PeerId) -> bool:
        """Return whether a peer is proven to have lied, and banned for good."""
        entry = self._authors.get(peer)
        return entry is not None and entry.evidence is not None

    def frozen(self) -> tuple[PeerId, ...]:
        """Return who is proven to have lied, sorted."""
        return tuple(sorted(peer for peer, it in self._authors.items() if it.evidence is not None))

    def evidence(self) -> list[Evidence]:
        """Return what proves who lied, in the order of the authors."""
        return [it.evidence for _, it in sorted(self._authors.items()) if it.evidence is not None]

    def take_news(self, count_max: int) -> list[SignedHeader]:
        """Return the newest headers of authors not mentioned since they were news."""
        taken = list(self._news)[:count_max]
        for author in taken:
            del self._news[author]
        found = (self.newest(author) for author in taken)
        return [signed for signed in found if signed is not None]

    # What happens --------------------------------------------------------------------------

    def meet(self, peer: PeerId, incarnation: int) -> None:
        """Take the word of a neighbor on its own current incarnation."""
        entry = self._entry(peer)
        entry.is_neighbor = True
        if not entry.incarnations or entry.incarnations[-1] != incarnation:
            self._set_current(entry, incarnation)

    def part(self, peer: PeerId) -> None:
        """Keep of a peer that is no neighbor any more only the newest header and its offences."""
        entry = self._authors.get(peer)
        if entry is not None:
            entry.is_neighbor = False
            self._forget_headers(entry)
            self._news.pop(peer, None)

    def admit(
        self,
        signed: SignedHeader,
        *,
        may_be_reborn: bool,
        places: Mapping[int, int] | None = None,
    ) -> Admission:
        """Take note of a verified header and say what it is.

        Args:
            signed: The header.
            may_be_reborn: Whether an incarnation never seen before becomes the author's current
                one. Only where the author could not tell its incarnation itself: else whoever
                replays an old life of it would silence the new one.
            places: Where authors keep logs, this one's lives, and of each the last sequence that
                was integrated: lies are looked for in all of them.
        """
        header = signed.header
        entry = self._entry(header.author)
        before = entry.headers.get((header.incarnation, header.sequence))
        if before is not None:
            same = before.update_id == signed.update_id
            return Admission.DUPLICATE if same else Admission.EQUIVOCATION
        if header.incarnation not in entry.incarnations:
            if not entry.incarnations or may_be_reborn:
                self._set_current(entry, header.incarnation)
            elif places is None:
                return Admission.STALE
        self._remember(entry, signed)
        if places is None:
            self._forget_oldest(entry)
        else:
            self._forget_far(entry, header.incarnation, places)
        is_current = header.incarnation == entry.incarnations[-1]
        newest = entry.newest
        if not is_current or (newest and newest.header.sequence >= header.sequence):
            return Admission.STALE
        entry.newest = signed
        self._news[header.author] = None
        return Admission.NEW

    def freeze(self, evidence: Evidence) -> None:
        """Ban an author for good."""
        author = evidence.first.header.author
        entry = self._entry(author)
        entry.evidence = evidence
        entry.banned_until_s = math.inf
        entry.newest = None
        self._forget_headers(entry)
        self._news.pop(author, None)
        self._unsaved[author] = None

    def offend(self, peer: PeerId, now_s: float) -> float:
        """Count an offence; return the length of the ban that it brings, 0.0 for none."""
        entry = self._entry(peer)
        forgiven = (now_s - entry.offence_s) / self._limits.offence_memory_s
        entry.offences = max(entry.offences - int(forgiven), 0) + 1
        entry.offence_s = now_s
        self._unsaved[peer] = None
        if entry.offences < self._limits.offences_max:
            return 0.0
        ban_s = min(self._membership.ban_s * 2.0**entry.strikes, self._membership.ban_s_max)
        entry.offences = 0
        entry.strikes = min(entry.strikes + 1, _STRIKES_MAX)
        entry.banned_until_s = max(entry.banned_until_s, now_s + ban_s)
        return ban_s

    def take_records(self) -> tuple[Record, ...]:
        """Return what must be durable about authors before anybody acts on it, once."""
        records = []
        for peer in self._unsaved:
            entry = self._authors.get(peer)
            value = None if entry is None else encode_author(_record(entry))
            records.append(Record(key=_PREFIX + peer.hex(), value=value))
        self._unsaved.clear()
        return tuple(records)

    # Inside --------------------------------------------------------------------------------

    def _entry(self, peer: PeerId) -> _Author:
        entry = self._authors.pop(peer, None)
        if entry is None:
            self._make_room()
            entry = _Author()
        self._authors[peer] = entry  # last in the dict is last heard of
        return entry

    def _set_current(self, entry: _Author, incarnation: int) -> None:
        if incarnation in entry.incarnations:
            entry.incarnations.remove(incarnation)
        entry.incarnations.append(incarnation)
        del entry.incarnations[: -self._limits.incarnations_per_author_max]
        of_it = [s for (life, _), s in entry.headers.items() if life == incarnation]
        entry.newest = max(of_it, key=lambda signed: signed.header.sequence, default=None)

    def _remember(self, entry: _Author, signed: SignedHeader) -> None:
        header = signed.header
        entry.headers[header.incarnation, header.sequence] = signed
        self._by_id[signed.update_id] = signed

    def _forget_oldest(self, entry: _Author) -> None:
        if len(entry.headers) <= self._limits.headers_per_author_max:
            return
        # Replays of old headers must not push out the new ones.
        lives = {life: age for age, life in enumerate(entry.incarnations)}
        oldest = min(entry.headers, key=lambda place: (lives.get(place[0], -1), place[1]))
        self._forget_header(entry, oldest)

    def _forget_far(self, entry: _Author, incarnation: int, places: Mapping[int, int]) -> None:
        """Forget headers of lives that do not count, and of this one those far from its end.

        The author itself can sign any number of headers, of any lives and sequences: none of them
        may push out what a second version of an entry is compared with.
        """
        sequences = sorted(sequence for life, sequence in entry.headers if life == incarnation)
        passed, most = places.get(incarnation, 0), self._limits.headers_per_author_max
        behind = [sequence for sequence in sequences if sequence <= passed]
        ahead = sequences[len(behind) :]
        far = [(incarnation, sequence) for sequence in (*behind[:-most], *ahead[most:])]
        lives = {incarnation, *places}
        for place in [*far, *(place for place in entry.headers if place[0] not in lives)]:
            self._forget_header(entry, place)

    def _forget_header(self, entry: _Author, place: tuple[int, int]) -> None:
        del self._by_id[entry.headers.pop(place).update_id]

    def _forget_headers(self, entry: _Author) -> None:
        """Forget all headers but the newest."""
        for place, signed in list(entry.headers.items()):
            if signed is not entry.newest:
                del entry.headers[place]
                del self._by_id[signed.update_id]

    def _make_room(self) -> None:
        if len(self._authors) < self._limits.authors_max:
            return
        # Bans and proofs outlive mere acquaintance, else a flood of names would lift a ban.
        strangers = [(peer, e) for peer, e in self._authors.items() if not e.is_neighbor]
        victim, entry = min(strangers, key=lambda item: _weight(item[1]))
        if entry.offence_s or entry.evidence:
            self._unsaved[victim] = None  # it is on disk, too
        entry.newest = None
        self._forget_headers(entry)
        self._news.pop(victim, None)
        del self._authors[victim]

    def _restore(self, key: str, value: bytes) -> None:
        try:
            peer = PeerId(bytes.fromhex(key.removeprefix(_PREFIX)))
        except ValueError as error:
            raise LocalError(f"the saved key {key!r} names no peer") from error
        if len(peer) != PUBLIC_KEY_BYTES:
            raise LocalError(f"the saved key {key!r} names no peer")
        record = decode_author(value)
        self._authors[peer] = _Author(
            offences=record.offences,
            offence_s=record.offence_s,
            strikes=record.strikes,
            banned_until_s=record.banned_until_s,
            evidence=record.evidence,
        )


def _weight(entry: _Author) -> int:
    """Return how much an entry is worth keeping."""
    return 2 if entry.evidence is not None else 1 if entry.strikes else 0


def _record(entry: _Author) -> AuthorRecord:
    return AuthorRecord(
        offences=entry.offences,
        offence_s=entry.offence_s,
        strikes=entry.strikes,
        banned_until_s=entry.banned_until_s,
        evidence=entry.evidence,
    )
