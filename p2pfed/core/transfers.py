"""From a header to a usable update: get its payload, have it looked into, drop what is replaced."""

from collections.abc import Iterable
from typing import Final, final

from p2pfed.core.config import CoreConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import (
    CancelFetch,
    DropPayload,
    FetchPayload,
    StartValidation,
    StorePayload,
)
from p2pfed.core.events import OffenceKind, PayloadFailed, ValidationFinished
from p2pfed.core.held import Held, HeldUpdates, Stage
from p2pfed.core.jobs import Jobs
from p2pfed.core.membership import Membership
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.notices import LogsLeftOut, UpdateRejected
from p2pfed.core.outbox import FRAMES_PER_OFFER, Outbox, offer_of
from p2pfed.core.own import OwnUpdates
from p2pfed.core.timers import TimerKind
from p2pfed.identity import PeerId
from p2pfed.limits import LIVES_PER_AUTHOR_MAX
from p2pfed.messages import SignedHeader
from p2pfed.values import Value

_REFETCH_S: Final = 0.5  # guess: pause before the second attempt at a payload; doubles
_NOT_READ_HERE: Final = "payload could not be validated here"
_IN_VALIDATION: Final = (Stage.MAKING, Stage.VALIDATING)


class _Fetch(Value):
    peer: PeerId
    held: Held


class _Partial(Value):
    peer: PeerId
    bytes_done: int


@final
class Transfers:
    """Moves held updates from stage to stage; one step per author at a time."""

    def __init__(
        self,
        config: CoreConfig,
        own: OwnUpdates,
        held: HeldUpdates,
        neighbors: Neighbors,
        membership: Membership,
        jobs: Jobs,
        outbox: Outbox,
    ) -> None:
        self._limits = config.limits
        self._keeps_rounds = config.schedule.mode is ScheduleMode.SYNCHRONOUS
        self._family = config.family
        self._own = own
        self._held = held
        self._neighbors = neighbors
        self._membership = membership
        self._jobs = jobs
        self._outbox = outbox
        self._fetches: dict[bytes, _Fetch] = {}  # by content hash
        self._partials: dict[bytes, _Partial] = {}  # by content hash
        self._validations: dict[int, SignedHeader] = {}  # by job
        self._in_use: tuple[bytes, ...] = ()  # payloads that a running integration reads
        self._is_told_of_own_life = False

    # Step by step --------------------------------------------------------------------------

    def receive_inline(self, held: Held, payload: bytes, now_s: float) -> None:
        """Take a payload that came in a frame; its hash has been checked.

        A whole model that is so small is looked into when it is integrated: to do that in a job of
        its own takes longer than the job. Until then a row that nobody can read counts as present
        and is passed on, like one that is made up; its author is blamed for it by whoever reads it.
        """
        if held.stage is not Stage.WAITING:
            self._outbox.count("duplicate.update")
            return
        if self._is_said_by_log(held):
            self._outbox.count("ignored.snapshot")  # it has to be what the log says
            return
        held.inline = payload
        self._forget_partial(held.content_hash)
        self._outbox.add(StorePayload(content_hash=held.content_hash, payload=payload))
        if self._family is UpdateFamily.WHOLE:
            self._held.move(held, Stage.VALID)
            self._take(held, now_s)
        else:  # what builds on it, or counts for ever, needs to know
            self._held.move(held, Stage.ARRIVED)

    def advance(self, now_s: float) -> None:
        """Begin every step that can begin now."""
        for held in self._held.pending():
            if held.stage is Stage.WAITING and self._is_said_by_log(held):
                self._try_making(held)
            elif held.stage is Stage.WAITING:
                self._try_fetch(held, now_s)
            if held.stage is Stage.ARRIVED:
                self._try_validation(held)

    def handle_arrived(self, content_hash: bytes) -> None:
        """Take a payload that is in the payload store now."""
        fetch = self._fetches.pop(content_hash, None)
        if fetch is None:
            self._outbox.count("stale.payload")
            self.release(content_hash)
            return
        self._held.move(fetch.held, Stage.ARRIVED)

    def handle_failed(self, event: PayloadFailed, now_s: float) -> None:
        """Try again elsewhere or later, or give the update up."""
        fetch = self._fetches.get(event.content_hash)
        if fetch is None or fetch.peer != event.peer:
            self._outbox.count("stale.payload")
            return
        del self._fetches[event.content_hash]
        held = fetch.held
        self._held.move(held, Stage.WAITING)
        was_holder = event.peer in held.holders  # it may be gone meanwhile
        if was_holder:
            held.holders.remove(event.peer)
        if event.offence is None:
            if was_holder:
                held.holders.append(event.peer)  # last in line, not out
            if event.bytes_done > 0:
                self._partials[event.content_hash] = _Partial(
                    peer=event.peer, bytes_done=event.bytes_done
                )
        else:
            detail = "served a payload that is not what was announced"
            self._membership.offend(event.peer, event.offence, detail, now_s)
        if not held.holders or held.attempts >= self._limits.fetch_attempts_max:
            self.reject(held, "payload could not be fetched")
        else:
            pause_s = _REFETCH_S * 2.0 ** (held.attempts - 1)
            self._outbox.set_timer(TimerKind.REFETCH, pause_s, content_hash=event.content_hash)

    def handle_validated(self, event: ValidationFinished, now_s: float) -> bool:
        """Take the result of a validation; return False when there is no such job."""
        signed = self._validations.get(event.job)
        if signed is None:
            return False
        held = self._held.get(signed)
        if event.offence is not None:
            self.give_up(signed, event.offence, now_s)
        elif held is not None and held.stage in _IN_VALIDATION:
            self._held.move(held, Stage.VALID)
            if self._family is not UpdateFamily.LEDGER or self.count_life(signed):
                self._take(held, now_s)
        self._end_validation(event.job)
        return True

    def give_up(self, signed: SignedHeader, offence: OffenceKind | None, now_s: float) -> None:
        """Give up an update that cannot be read.

        Args:
            signed: Its header.
            offence: What its author did wrong, whoever passed it on; None if this machine failed.
            now_s: The time.
        """
        if offence is not None:
            author = signed.header.author
            self._membership.offend(author, offence, "signed an invalid payload", now_s)
        held = self._held.get(signed)
        if held is not None:
            reason = f"payload is invalid ({offence})" if offence else _NOT_READ_HERE
            self._reject_for_good(held, reason)

    def handle_validation_failed(self, job: int) -> bool:
        """Give up an update that this machine could not validate; nobody is to blame.

        A snapshot that could not be made here is fetched.

        Returns:
            False when there is no such job.
        """
        signed = self._validations.get(job)
        if signed is None:
            return False
        held = self._held.get(signed)
        if held is not None and held.stage is Stage.MAKING:
            self._held.move(held, Stage.WAITING)
            held.is_foreign = True
        elif held is not None:
            self._reject_for_good(held, _NOT_READ_HERE)
        self._end_validation(job)
        return True

    def count_life(self, signed: SignedHeader) -> bool:
        """Take note that an entry of a log is valid, the first of its life maybe.

        Returns:
            Whether that life counts. If another one does not any more, its entries are dropped.
        """
        author, incarnation = signed.header.author, signed.header.incarnation
        gone = self._held.count_life(author, incarnation)
        if gone is None:
            return True
        self._outbox.count("dropped.life")
        self._tell_of_own_life(author, gone)
        for held in self._held.of_life(author, gone):
            self.drop(held)
        return gone != incarnation

    def _tell_of_own_life(self, author: PeerId, gone: int) -> None:
        """Tell once that this very life does not count."""
        own = self._own.newest
        if own is None or (author, gone) != (own.signed.header.author, self._own.incarnation):
            return
        if not self._is_told_of_own_life:
            self._is_told_of_own_life = True
            reason = (
                f"{LIVES_PER_AUTHOR_MAX} earlier lives of this peer are known, whose disks were "
                "lost, and others leave out what it writes in another one: take a new identity"
            )
            self._outbox.notify(LogsLeftOut(reason=reason))

    # Keeping and dropping ------------------------------------------------------------------

    def begin_use(self, content_hashes: Iterable[bytes]) -> None:
        """Keep payloads until `end_use`: an integration reads them."""
        self._in_use = tuple(content_hashes)

    def end_use(self) -> None:
        """Drop the payloads of an integration that have been replaced meanwhile."""
        in_use, self._in_use = self._in_use, ()
        for content_hash in in_use:
            self.release(content_hash)

    def trim(self, author: PeerId) -> None:
        """Drop what a newer usable update of the author has replaced."""
        if self._family is UpdateFamily.LEDGER:
            self._trim_log(author)
            return
        for held in self._held.valid(author)[:-1]:
            if self._keeps_rounds and held.exchange >= self._held.exchange_needed:
                continue
            is_chained = self._family is UpdateFamily.DIFFERENCE
            if is_chained and not self._held.is_passed_over(held.signed):
                continue
            self.drop(held)

    def _trim_log(self, author: PeerId) -> None:
        """Drop what a snapshot says, too; all after it is kept for those who come later."""
        for line in self._held.lines(author).values():
            snapshots = [k for k, it in enumerate(line) if it.signed.header.builds_on is None]
            for held in line[: snapshots[-1] if snapshots else 0]:
                self.drop(held)

    def _take(self, held: Held, now_s: float) -> None:
        header = held.signed.header
        if header.builds_on is None:
            self._held.pass_over(header.author, header.incarnation, header.sequence - 1)
        self.trim(held.author)
        if self._family is UpdateFamily.LEDGER:
            self._pass_on(held, now_s)

    def _pass_on(self, held: Held, now_s: float) -> None:
        """Offer an entry of a log to all neighbors that did not offer it."""
        knowing = (held.author, *held.holders)
        others = [peer for peer in self._neighbors.greeted_peers() if peer not in knowing]
        others = self._neighbors.with_room(others, FRAMES_PER_OFFER, now_s)
        self._outbox.send_all(others, offer_of(held.signed, held.inline))

    def reject(self, held: Held, reason: str) -> None:
        """Drop an update and say why."""
        self._outbox.notify(UpdateRejected(peer=held.author, reason=reason))
        self.drop(held)

    def drop(self, held: Held) -> None:
        """Forget an update, and its payload if nobody else needs it."""
        content_hash = held.content_hash
        self._held.remove(held)
        if held.stage is Stage.FETCHING:
            del self._fetches[content_hash]
            self._outbox.add(CancelFetch(content_hash=content_hash))
        elif held.is_here:
            self.release(content_hash)
        if not self._held.names_payload(content_hash):
            self._forget_partial(content_hash)

    def release(self, content_hash: bytes) -> None:
        """Drop a payload from the payload store unless somebody needs it."""
        is_needed = (
            content_hash in self._in_use
            or self._stored_bytes(content_hash) is not None
            or any(s.header.payload_hash == content_hash for s in self._validations.values())
        )
        if not is_needed:
            self._outbox.add(DropPayload(content_hash=content_hash))

    # Inside --------------------------------------------------------------------------------

    def _reject_for_good(self, held: Held, reason: str) -> None:
        """Drop an update that there is no use in asking for again, and say why."""
        self._held.mark_unusable(held.signed)
        self.reject(held, reason)

    def _is_said_by_log(self, held: Held) -> bool:
        """Return whether a snapshot says what is integrated here, or soon will be.

        It adds nothing to the log, so whoever has that can make the payload.
        """
        header = held.signed.header
        is_snapshot = self._family is UpdateFamily.LEDGER and header.builds_on is None
        if not is_snapshot or held.is_foreign:
            return False
        first = self._held.first_wanted(header.author, header.incarnation)
        if not self._is_near(header.sequence, first):
            return False
        coming = {
            other.signed.header.sequence
            for other in self._held.of(header.author)
            if other.signed.header.incarnation == header.incarnation
            and (other.stage is not Stage.WAITING or self._is_offered(other))
        }
        return coming.issuperset(range(first, header.sequence))

    def _is_near(self, sequence: int, first: int) -> bool:
        return first <= sequence <= first + self._limits.operations_per_author_max

    def _is_offered(self, held: Held) -> bool:
        return any(self._neighbors.is_greeted(peer) for peer in held.holders)

    def _try_making(self, held: Held) -> None:
        header = held.signed.header
        first = self._held.first_wanted(header.author, header.incarnation)
        if first == header.sequence and self._has_room(held):
            self._try_validation(held, Stage.MAKING)

    def _has_room(self, held: Held) -> bool:
        stored_bytes = self._held.payload_bytes() + held.signed.header.payload_bytes
        return stored_bytes <= self._limits.payload_store_bytes_max

    def _try_fetch(self, held: Held, now_s: float) -> None:
        header = held.signed.header
        stored_bytes = self._stored_bytes(held.content_hash)
        if stored_bytes == header.payload_bytes:
            self._held.move(held, Stage.ARRIVED)  # the same bytes under another name
            return
        if stored_bytes is not None:
            detail = "signed another size for a payload than it has"
            self._membership.offend(held.author, OffenceKind.PAYLOAD_SIZE, detail, now_s)
            self._reject_for_good(held, detail)
            return
        holder = next((peer for peer in held.holders if self._may_fetch_from(peer)), None)
        if holder is None or not self._may_fetch(held):
            return
        self._held.move(held, Stage.FETCHING)
        held.attempts += 1
        partial = self._partials.pop(held.content_hash, None)
        # Bytes of one peer only: else a wrong hash at the end could not be blamed on anybody.
        offset = partial.bytes_done if partial is not None and partial.peer == holder else 0
        self._fetches[held.content_hash] = _Fetch(peer=holder, held=held)
        self._outbox.add(
            FetchPayload(
                peer=holder,
                content_hash=held.content_hash,
                size_bytes=header.payload_bytes,
                offset=offset,
            )
        )

    def _may_fetch(self, held: Held) -> bool:
        return (
            len(self._fetches) < self._limits.fetches_max
            and held.content_hash not in self._fetches
            and not self._outbox.has_timer(TimerKind.REFETCH, content_hash=held.content_hash)
            and self._has_room(held)
            and not any(other.is_under_way for other in self._held.of(held.author))
        )

    def _may_fetch_from(self, peer: PeerId) -> bool:
        busy = sum(1 for fetch in self._fetches.values() if fetch.peer == peer)
        return self._neighbors.is_greeted(peer) and busy < self._limits.fetches_per_peer_max

    def _try_validation(self, held: Held, stage: Stage = Stage.VALIDATING) -> None:
        authors = [signed.header.author for signed in self._validations.values()]
        if len(authors) >= self._limits.validations_max or held.author in authors:
            return
        self._held.move(held, stage)
        job = self._jobs.next()
        self._validations[job] = held.signed
        self._outbox.add(
            StartValidation(
                job=job,
                update_id=held.signed.update_id,
                header=held.signed.header,
                is_here=stage is Stage.VALIDATING,
            )
        )

    def _end_validation(self, job: int) -> None:
        self.release(self._validations.pop(job).header.payload_hash)

    def _stored_bytes(self, content_hash: bytes) -> int | None:
        own_bytes = self._own.payload_bytes(content_hash)
        return self._held.stored_bytes(content_hash) if own_bytes is None else own_bytes

    def _forget_partial(self, content_hash: bytes) -> None:
        self._outbox.cancel_timer(TimerKind.REFETCH, content_hash=content_hash)
        if self._partials.pop(content_hash, None) is not None:
            self._outbox.add(CancelFetch(content_hash=content_hash))
