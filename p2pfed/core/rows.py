"""Which neighbors' updates an integration takes, and which it waits for."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import final

from p2pfed.core.authors import Authors
from p2pfed.core.config import CoreConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import IntegrationRow
from p2pfed.core.events import GAP, OffenceKind, Verdict
from p2pfed.core.held import Held, HeldUpdates, Stage
from p2pfed.core.ledger import Ledger
from p2pfed.core.neighbors import Link, Neighbor, Neighbors
from p2pfed.identity import PeerId
from p2pfed.messages import Role, SignedHeader, UpdateHeader
from p2pfed.values import Value


class _Used(Value):
    """A neighbor's row that was integrated: its update, and in which own exchange first."""

    update_id: bytes
    exchange: int


@final
class Rows:
    """Chooses the rows of integrations."""

    def __init__(
        self,
        config: CoreConfig,
        held: HeldUpdates,
        authors: Authors,
        neighbors: Neighbors,
        ledger: Ledger,
    ) -> None:
        schedule = config.schedule
        self._staleness_max = schedule.staleness_rounds_max * schedule.gossip_steps
        self._is_synchronous = config.schedule.mode is ScheduleMode.SYNCHRONOUS
        self._keeps_logs = config.family is UpdateFamily.LEDGER
        self._held = held
        self._takes_from = authors
        self._neighbors = neighbors
        self._ledger = ledger
        self._chosen: list[SignedHeader] = []
        # Entries of logs that could not be followed, and how many stood before them.
        self._tried: set[tuple[bytes, int]] = set()
        self._states: dict[bytes, tuple[bytes, int]] = {}  # of the chosen entries, when chosen
        self._frozen: tuple[PeerId, ...] = ()  # whose logs the last integration left out
        self._frozen_chosen: tuple[PeerId, ...] = ()
        self._used: dict[PeerId, _Used] = {}
        self._gaps: dict[PeerId, bytes] = {}  # ids of rows that could not be followed
        # Neighbors that missed a deadline: not waited for until they are in step again.
        self._absent: dict[PeerId, None] = {}
        self._missed: PeerId | None = None  # a neighbor whose row was missing when last looked for

    # Choosing ------------------------------------------------------------------------------

    def choose(self, exchange: int) -> tuple[IntegrationRow, ...]:
        """Return the rows of the next integration, in ascending order of peer."""
        self._chosen = []
        if self._keeps_logs:
            return self._choose_entries()
        rows: list[IntegrationRow] = []
        if not self._is_synchronous and not self.has_news():
            return ()  # mixing again with rows already mixed would only hold the model back
        for author in self._authors():
            signed = self._row_of(author, exchange)
            if signed is None:
                continue
            used = self._used.get(author)
            is_new = used is None or used.update_id != signed.update_id
            staleness = 0 if used is None or is_new else exchange - used.exchange
            # In step a row of this exchange or later is no older than our own, however often it
            # serves a peer that catches up with neighbors that have finished.
            is_in_step = self._is_synchronous and self._held.exchange(signed) >= exchange
            if is_in_step or staleness <= self._staleness_max:
                self._chosen.append(signed)
                rows.append(
                    IntegrationRow(
                        peer=author,
                        header=signed.header,
                        staleness=staleness,
                        before=self._before(signed),
                    )
                )
        return tuple(rows)

    def unreadable(
        self, verdicts: Sequence[Verdict]
    ) -> list[tuple[SignedHeader, OffenceKind | None]]:
        """Return which of the chosen rows could not be read, and what their authors did wrong.

        None stands for what is no fault of its author.
        """
        of_peers = {verdict.peer: verdict for verdict in verdicts if not verdict.is_of_a_row}
        return [
            (signed, of_peers[signed.header.author].offence)
            for signed in self._chosen
            if signed.header.author in of_peers
        ]

    def commit(self, exchange: int, verdicts: Sequence[Verdict]) -> list[SignedHeader]:
        """Take note that the chosen rows were integrated.

        Args:
            exchange: Of the integration.
            verdicts: On the rows, in their order.

        Returns:
            Updates that were not, because they build on what never arrived.
        """
        gaps = []
        self._tried.clear()
        self._frozen = self._frozen_chosen
        for signed, verdict in zip_longest(self._chosen, verdicts):
            author = signed.header.author
            if verdict is not None and verdict.reason == GAP:
                gaps.append(signed)
                self._gaps[author] = signed.update_id
                if self._keeps_logs:
                    # As it was chosen: what has come since is news.
                    self._tried.add(self._states[signed.update_id])
                continue
            self._held.pass_over(author, signed.header.incarnation, signed.header.sequence)
            if self._is_news(signed):
                self._used[author] = _Used(update_id=signed.update_id, exchange=exchange)
            if self._held.exchange(signed) >= exchange:
                self._absent.pop(author, None)
        self._chosen = []
        return gaps

    def forget(self, peer: PeerId) -> None:
        """Forget what was integrated of a peer whose updates do not matter any more."""
        if not self._takes_from.outlives_its_links(peer):
            self._used.pop(peer, None)
            self._gaps.pop(peer, None)
            self._absent.pop(peer, None)

    def last_lives(self) -> tuple[tuple[PeerId, int], ...]:
        """Return of authors with as many lives as count the last one that does."""
        return self._held.lives.last()

    def frozen(self) -> tuple[PeerId, ...]:
        """Return whose logs do not count here, sorted.

        Never the own one: whoever else signs with the key of this peer, its next entry follows
        the one before.
        """
        if not self._keeps_logs:
            return ()
        return tuple(it for it in self._ledger.frozen() if not self._takes_from.is_own(it))

    # News ----------------------------------------------------------------------------------

    def news(self) -> list[PeerId]:
        """Return the authors of updates that are there and were not integrated yet, sorted."""
        if self._keeps_logs:
            entries = self._new_entries()
            new = [it.header.author for it in entries if self._state_of(it) not in self._tried]
            return list(dict.fromkeys(new))
        newest = {author: self._held.newest(author) for author in self._authors()}
        return [it for it, signed in newest.items() if signed and self._is_news(signed)]

    def has_news(self) -> bool:
        """Return whether there is an update to integrate, or a log that counts no more."""
        is_newly_frozen = self.frozen() != self._frozen
        return is_newly_frozen or bool(self.news())

    def has_row(self, exchange: int) -> bool:
        """Return whether an update is there that is new, or of this exchange or a later one."""
        in_step = (self._held.of_exchange(it, exchange) is not None for it in self._authors())
        return self.has_news() or any(in_step)

    def all_have_news(self) -> bool:
        """Return whether every neighbor that still trains has a new row, and a trainer does."""
        active = [entry for entry in self._neighbors.greeted() if entry.is_active]
        newest = [self._held.newest(entry.peer) for entry in active]
        return any(entry.role is Role.TRAIN for entry in active) and all(
            signed is not None and self._is_news(signed) for signed in newest
        )

    # Waiting -------------------------------------------------------------------------------

    def missing(self, exchange: int, now_s: float) -> list[PeerId]:
        """Return the neighbors whose row of a synchronous exchange is still to come."""
        return list(self._missing(exchange, now_s))

    def is_complete(self, exchange: int, now_s: float) -> bool:
        """Return whether no row of a synchronous exchange is still to come."""
        # Whose row was missing last is looked for first: it mostly still is.
        entry = None if self._missed is None else self._neighbors.get(self._missed)
        if entry is None or not self._is_missing(entry, exchange, now_s):
            self._missed = next(self._missing(exchange, now_s), None)
        return self._missed is None

    def excuse(self, peers: list[PeerId]) -> None:
        """Wait no longer for neighbors that missed the deadline."""
        self._absent.update(dict.fromkeys(peers))

    # Inside --------------------------------------------------------------------------------

    def _missing(self, exchange: int, now_s: float) -> Iterator[PeerId]:
        for entry in self._neighbors.all():
            if self._is_missing(entry, exchange, now_s):
                yield entry.peer

    def _is_missing(self, entry: Neighbor, exchange: int, now_s: float) -> bool:
        return (
            self._held.of_exchange(entry.peer, exchange) is None
            and not self._ledger.is_banned(entry.peer, now_s)
            and self._is_awaited(entry, exchange)
        )

    def _authors(self) -> list[PeerId]:
        return [peer for peer in self._held.authors() if self._takes_from.is_author(peer)]

    def _choose_entries(self) -> tuple[IntegrationRow, ...]:
        """Return what is new in the logs of all authors."""
        self._chosen = self._new_entries()
        self._frozen_chosen = self.frozen()
        self._states = {signed.update_id: self._state_of(signed) for signed in self._chosen}
        return tuple(
            IntegrationRow(
                peer=signed.header.author,
                header=signed.header,
                staleness=0,
                before=self._before(signed),
            )
            for signed in self._chosen
        )

    def _state_of(self, signed: SignedHeader) -> tuple[bytes, int]:
        return signed.update_id, len(self._before(signed))

    def _new_entries(self) -> list[SignedHeader]:
        """Return how far each log of each author goes on, or its newest entry, if that is new."""
        newest = [
            self._last_connected(line)
            for author in self._authors()
            for _, line in sorted(self._held.lines(author).items())
        ]
        return [signed for signed in newest if not self._held.is_passed_over(signed)]

    def _last_connected(self, line: list[Held]) -> SignedHeader:
        """Return the last entry up to which nothing is missing, or the newest.

        A snapshot waits for what is before it, and what is after it must not stand in the way.
        """
        held = {it.signed.header.sequence: it.signed for it in line}
        header = line[-1].signed.header
        sequence = self._held.first_wanted(header.author, header.incarnation)
        if sequence not in held:
            return line[-1].signed
        while sequence + 1 in held:
            sequence += 1
        return held[sequence]

    def _row_of(self, author: PeerId, exchange: int) -> SignedHeader | None:
        if not self._is_synchronous:
            return self._held.newest(author)
        signed = self._held.of_exchange(author, exchange)
        if signed is not None:
            if self._gaps.get(author) != signed.update_id:
                return signed
            # A full update, of an author that is ahead, may have come instead of what was missing.
            return self._held.of_exchange(author, exchange, is_wanted=True) or signed
        # The row of a straggler is late, but what it learned counts, once.
        # Who was away for many rounds never comes nearer, so that no number of rounds is too many.
        late = self._held.newest(author)
        return late if late is not None and self._is_news(late) else None

    def _before(self, signed: SignedHeader) -> tuple[UpdateHeader, ...]:
        """Return what an update builds on, as far back as it is held, the oldest first."""
        header = signed.header
        base = header.builds_on
        if base is None:
            return ()
        line = self._held.lines(header.author).get(header.incarnation, [])
        held = {other.signed.header.sequence: other for other in line}
        before: list[UpdateHeader] = []
        while base is not None and base in held:
            header = held[base].signed.header
            before.append(header)
            base = header.builds_on
        return tuple(reversed(before))

    def _is_news(self, signed: SignedHeader) -> bool:
        used = self._used.get(signed.header.author)
        return used is None or used.update_id != signed.update_id

    def _is_awaited(self, entry: Neighbor, exchange: int) -> bool:
        if entry.peer in self._absent:
            return False
        is_greeted = entry.link is Link.GREETED
        if entry.is_active:
            # A lost link is a dead neighbor; one never met may still be starting.
            may_send = is_greeted or (entry.is_configured and not entry.was_greeted)
        else:
            # What it learned last is still to come if nothing of it is here: without it the rows
            # at hand may be those of liars alone.
            may_send = is_greeted and self._held.newest(entry.peer) is None
        # What is on its way is awaited also from a neighbor that has trained its last round.
        return may_send or self._is_on_its_way(entry, exchange)

    def _is_on_its_way(self, entry: Neighbor, exchange: int) -> bool:
        return any(
            held.exchange >= exchange
            and (held.stage is not Stage.WAITING or self._is_offered(held.holders))
            for held in self._held.of(entry.peer)
            if held.stage is not Stage.VALID
        )

    def _is_offered(self, holders: list[PeerId]) -> bool:
        return any(self._neighbors.is_greeted(peer) for peer in holders)
