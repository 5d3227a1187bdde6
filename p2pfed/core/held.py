"""Updates of other authors that are kept here, or on their way."""

from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import final

from msgspec import Struct

from p2pfed.core.lives import Lives
from p2pfed.identity import PeerId
from p2pfed.limits import Limits
from p2pfed.messages import SignedHeader


class Stage(StrEnum):
    """How far an update has come here."""

    WAITING = "waiting"  # for its payload to be fetched
    FETCHING = "fetching"
    MAKING = "making"  # the payload, of the own ledger
    ARRIVED = "arrived"  # the payload is here, not yet looked into
    VALIDATING = "validating"
    VALID = "valid"  # or small: what came in its frame is looked into when it is integrated


_PENDING = (Stage.WAITING, Stage.ARRIVED)
_UNDER_WAY = (Stage.FETCHING, Stage.MAKING, Stage.ARRIVED, Stage.VALIDATING)
_HERE = (Stage.ARRIVED, Stage.VALIDATING, Stage.VALID)
_INCARNATIONS_MAX = Limits().incarnations_per_author_max


class Held(Struct, kw_only=True):
    """One update.

    Attributes:
        signed: Its header.
        number: Its place in line, from 1.
        exchange: Its place among all gossip steps of all rounds, from 0.
        stage: How far it has come; `HeldUpdates.move` changes it.
        holders: Peers that said they have the payload; whoever failed stands last.
        attempts: Fetches begun.
        is_foreign: Whether the payload could not be made of the own ledger.
        inline: The payload when it came in a frame, so that it can be passed on that way.
    """

    signed: SignedHeader
    number: int
    exchange: int
    stage: Stage = Stage.WAITING
    holders: list[PeerId] = []
    attempts: int = 0
    is_foreign: bool = False
    inline: bytes | None = None

    @property
    def author(self) -> PeerId:
        """Who signed it."""
        return self.signed.header.author

    @property
    def content_hash(self) -> bytes:
        """Which payload it names."""
        return self.signed.header.payload_hash

    @property
    def is_pending(self) -> bool:
        """Whether nothing is being done with it now."""
        return self.stage in _PENDING

    @property
    def is_under_way(self) -> bool:
        """Whether work on it has begun and is not finished."""
        return self.stage in _UNDER_WAY

    @property
    def is_here(self) -> bool:
        """Whether its payload is in the payload store."""
        return self.stage in _HERE


def exchange_of(round_number: int, gossip_step: int, gossip_steps: int) -> int:
    """Return the place of a gossip step among all steps of all rounds, from 0.

    A step that a round does not have here counts as its last one.
    """
    return round_number * gossip_steps + min(gossip_step, gossip_steps) - 1


def _is_next(one: Held, other: Held) -> bool:
    before, after = one.signed.header, other.signed.header
    return before.incarnation == after.incarnation and before.sequence <= after.sequence


@final
class HeldUpdates:
    """All held updates, in order of arrival; a few per author.

    Args:
        gossip_steps: Of each round.

    Attributes:
        exchange_needed: The oldest exchange that a synchronous integration can still want.
        lives: Of authors whose logs are kept.
    """

    def __init__(self, *, gossip_steps: int = 1) -> None:
        self.exchange_needed = 0
        self._gossip_steps = gossip_steps
        self.lives = Lives()
        self._by_author: dict[PeerId, dict[bytes, Held]] = {}
        self._by_payload: dict[bytes, list[Held]] = {}
        self._valid: dict[PeerId, list[Held]] = {}  # usable ones, each author's newest last
        self._pending: dict[int, Held] = {}  # by number
        self._payload_bytes: int | None = 0  # None until it is summed again after a change
        self._last_number = 0
        self._unusable: dict[PeerId, bytes] = {}  # author to its last update of no use
        # Author and incarnation to the last sequence of what is not wanted any more.
        self._passed: dict[PeerId, dict[int, int]] = {}

    def add(self, signed: SignedHeader, *, number: int | None = None) -> Held:
        """Keep an update.

        Args:
            signed: Its header.
            number: The place in line of an update that it supersedes, else it goes to the end.
        """
        self._last_number += 1
        held = Held(
            signed=signed,
            number=self._last_number if number is None else number,
            exchange=self.exchange(signed),
        )
        header = signed.header
        self._by_author.setdefault(header.author, {})[signed.update_id] = held
        self._by_payload.setdefault(header.payload_hash, []).append(held)
        self._pending[held.number] = held
        return held

    def move(self, held: Held, stage: Stage) -> None:
        """Note that an update has come to another stage."""
        is_lined_up = Stage.VALID in (held.stage, stage)
        if Stage.WAITING in (held.stage, stage):
            self._payload_bytes = None
        held.stage = stage
        if held.is_pending:
            self._pending[held.number] = held
        else:
            self._pending.pop(held.number, None)
        if is_lined_up:
            self._line_up(held.author)

    def remove(self, held: Held) -> None:
        """Keep an update no longer."""
        author, content_hash = held.author, held.content_hash
        of_author = self._by_author[author]
        del of_author[held.signed.update_id]
        if not of_author:
            del self._by_author[author]
        with_payload = self._by_payload[content_hash]
        with_payload.remove(held)
        if not with_payload:
            del self._by_payload[content_hash]
        self._pending.pop(held.number, None)
        if held.stage is not Stage.WAITING:
            self._payload_bytes = None
        if held.stage is Stage.VALID:
            self._line_up(author)

    def get(self, signed: SignedHeader) -> Held | None:
        """Return the update with this header if it is held."""
        of_author = self._by_author.get(signed.header.author)
        return None if of_author is None else of_author.get(signed.update_id)

    def of(self, author: PeerId) -> list[Held]:
        """Return the updates of an author, in order of arrival."""
        return list(self._by_author.get(author, {}).values())

    def of_life(self, author: PeerId, incarnation: int) -> list[Held]:
        """Return the updates of an author in one incarnation, in order of arrival."""
        return [it for it in self.of(author) if it.signed.header.incarnation == incarnation]

    def may_take_life(self, author: PeerId, incarnation: int) -> bool:
        """Return whether an entry of a log may turn out to be of a life that counts."""
        pending = {it.signed.header.incarnation for it in self.of(author)}
        return self.lives.may_take(author, incarnation, pending)

    def places(self, author: PeerId) -> dict[int, int]:
        """Return the lives of an author that count or may, and the last sequence integrated."""
        pending = [it.signed.header.incarnation for it in self.of(author)]
        lives = (*self.lives.of(author), *pending)
        return {life: self.first_wanted(author, life) - 1 for life in lives}

    def count_life(self, author: PeerId, incarnation: int) -> int | None:
        """Take note that an entry of a life is valid; return the life that does not count now."""
        gone = self.lives.count(author, incarnation)
        if gone is not None:
            self._passed.get(author, {}).pop(gone, None)
        return gone

    def has_author(self, author: PeerId) -> bool:
        """Return whether something of an author is held or was integrated."""
        return author in self._by_author or author in self._passed

    def author_count(self) -> int:
        """Return of how many authors something is held or was integrated."""
        return len(self._by_author.keys() | self._passed.keys())

    def all(self) -> list[Held]:
        """Return all updates, by author in the order of their first one."""
        return [held for author in self._by_author.values() for held in author.values()]

    @property
    def has_pending(self) -> bool:
        """Whether there is an update that nothing is being done with."""
        return bool(self._pending)

    def pending(self) -> list[Held]:
        """Return the updates that nothing is being done with, in line."""
        return sorted(self._pending.values(), key=attrgetter("number"))

    def with_payload(self, content_hash: bytes) -> list[Held]:
        """Return the updates that name a payload, in order of arrival."""
        return list(self._by_payload.get(content_hash, ()))

    def authors(self) -> list[PeerId]:
        """Return the authors of usable updates, sorted."""
        return sorted(self._valid)

    def valid(self, author: PeerId) -> list[Held]:
        """Return the usable updates of an author, the newest last."""
        return list(self._valid.get(author, ()))

    def lines(self, author: PeerId) -> dict[int, list[Held]]:
        """Return the usable updates of an author by incarnation, each in sequence.

        The incarnation that came last is the last one.
        """
        lines: dict[int, list[Held]] = {}
        for held in self.of(author):
            if held.stage is Stage.VALID:
                lines.setdefault(held.signed.header.incarnation, []).append(held)
        return {
            incarnation: sorted(line, key=lambda held: held.signed.header.sequence)
            for incarnation, line in lines.items()
        }

    def newest(self, author: PeerId) -> SignedHeader | None:
        """Return the newest usable update of an author."""
        valid = self._valid.get(author)
        return valid[-1].signed if valid else None

    def exchange(self, signed: SignedHeader) -> int:
        """Return the place of an update among all gossip steps of all rounds, from 0."""
        header = signed.header
        return exchange_of(header.round, header.gossip_step, self._gossip_steps)

    def of_exchange(
        self, author: PeerId, exchange: int, *, is_wanted: bool = False
    ) -> SignedHeader | None:
        """Return the usable update of an exchange, or else of the next later one.

        Args:
            author: Whose.
            exchange: Which.
            is_wanted: Whether to leave out what was passed over.
        """
        later = [
            it
            for it in self._valid.get(author, ())
            if it.exchange >= exchange and not (is_wanted and self.is_passed_over(it.signed))
        ]
        return min(later, key=attrgetter("exchange")).signed if later else None

    def pass_over(self, author: PeerId, incarnation: int, sequence: int) -> None:
        """Want nothing up to a sequence any more: it is integrated, or a full update follows."""
        passed = self._passed.get(author)
        if passed is not None and passed.get(incarnation, -1) >= sequence:
            return
        lives = self.lives.of(author)
        if lives and incarnation not in lives:
            return  # it was integrated when a lower one came
        passed = self._passed.setdefault(author, {})
        passed[incarnation] = sequence
        if len(passed) > _INCARNATIONS_MAX:
            del passed[next(iter(passed))]

    def is_passed_over(self, signed: SignedHeader) -> bool:
        """Return whether a difference is not wanted any more."""
        return signed.header.sequence < self.first_wanted(
            signed.header.author, signed.header.incarnation
        )

    def first_wanted(self, author: PeerId, incarnation: int) -> int:
        """Return the sequence of the first difference of an author that is wanted."""
        passed = self._passed.get(author)
        return 1 if passed is None else passed.get(incarnation, 0) + 1

    def last_connected(self, author: PeerId, incarnation: int, line: list[SignedHeader]) -> int:
        """Return up to which sequence nothing is missing in a log.

        Args:
            author: Whose.
            incarnation: In which life.
            line: Entries of it that are here, beside those that are not wanted any more.
        """
        sequences = {signed.header.sequence for signed in line}
        last = self.first_wanted(author, incarnation) - 1
        while last + 1 in sequences:
            last += 1
        return last

    def mark_unusable(self, signed: SignedHeader) -> None:
        """Remember that asking for an update again is of no use."""
        self._unusable[signed.header.author] = signed.update_id

    def is_unusable(self, signed: SignedHeader) -> bool:
        """Return whether asking for an update again is of no use."""
        return self._unusable.get(signed.header.author) == signed.update_id

    def forget_author(self, author: PeerId) -> None:
        """Forget what was of no use of an author, and what was passed over."""
        self._unusable.pop(author, None)
        self._passed.pop(author, None)
        self.lives.forget(author)

    def forget_holder(self, peer: PeerId) -> None:
        """Note that a peer has nothing to give any more."""
        for held in self.all():
            if peer in held.holders:
                held.holders.remove(peer)

    def names_payload(self, content_hash: bytes) -> bool:
        """Return whether an update names a payload."""
        return content_hash in self._by_payload

    def stored_bytes(self, content_hash: bytes) -> int | None:
        """Return how many bytes a payload has that is in the payload store, None if it is not."""
        for held in self._by_payload.get(content_hash, ()):
            if held.is_here:
                return held.signed.header.payload_bytes
        return None

    def payload_bytes(self) -> int:
        """Return how many bytes the payloads take that are here or on their way."""
        if self._payload_bytes is None:
            sizes = {
                held.content_hash: held.signed.header.payload_bytes
                for held in self.all()
                if held.stage is not Stage.WAITING
            }
            self._payload_bytes = sum(sizes.values())
        return self._payload_bytes

    def _line_up(self, author: PeerId) -> None:
        """Put the usable updates of an author in order, after one has come or gone.

        That is the order of arrival, unless it is none of a log: then by incarnation in sequence.
        """
        of_author = self._by_author.get(author, {})
        valid = [held for held in of_author.values() if held.stage is Stage.VALID]
        if len(valid) > 1 and not all(_is_next(one, other) for one, other in pairwise(valid)):
            valid = [held for line in self.lines(author).values() for held in line]
        if valid:
            self._valid[author] = valid
        else:
            self._valid.pop(author, None)
