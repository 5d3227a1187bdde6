"""The bench of a run whose model is a ledger: every peer computes it from everybody's logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from p2pfed.core.effects import IntegrationRow, OwnPlace, StartIntegration, StartTraining
from p2pfed.core.events import GAP, OffenceKind, Verdict
from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.learn.evaluation import evaluate
from p2pfed.learn.jobs import IntegrationOutcome, LoadPayload, TrainingOutcome, never, unchanged
from p2pfed.learn.learner import Learner, ShouldStop, TrainingReport
from p2pfed.learn.ledger_author import BeforePublish, Contribution, LedgerAuthor
from p2pfed.learn.ledger_entries import (
    AnyLedger,
    Entry,
    decode_entry,
    encode_entry,
    remake_snapshot,
    take_in,
)
from p2pfed.learn.ledger_pending import Pending, pending_of
from p2pfed.learn.privacy.guard import PrivacySpent, check_never_private
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.log import Operation, Receipt, Snapshot, Writer

# Why the rest of a row is not in the ledger.
_LIED: Final = str(OffenceKind.EQUIVOCATION)

# Where the parts of a saved state stand, beside what the learner saves.
_LOGS: Final = "ledger/logs/"
_PENDING: Final = "ledger/pending/"
_TRAINING: Final = "ledger/training/"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerExchange:
    """How a peer writes into a ledger.

    Attributes:
        method: Name of the run's update method.
        codec: Name of the run's codec.
        ledger: Of the run's kind and terms, empty.
        author: This peer.
        training: How it finds out what to write.
        before_publish: Applied to what is to be published, of a form that `training` says; lets
            experiments make a peer hostile.
    """

    method: str
    codec: str
    ledger: AnyLedger
    author: PeerId
    training: LedgerAuthor[Any, Any]
    before_publish: BeforePublish = unchanged


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Model:
    """What a ledger makes of the initial vector.

    Attributes:
        vector: Shape (d,), float32; never changed.
        ledger_digest: Of the ledger; empty if it is not known.
    """

    vector: Tensor
    ledger_digest: bytes


@final
class LedgerBench:
    """Trains, encodes, validates, integrates and evaluates for one peer of a ledger.

    The model is `AuthorLogs.materialize` of the initial vector, after every job and to the last
    bit: what a local phase does to it is a proposal, and forgotten as soon as it is encoded.

    An own operation enters the ledger when the core's next order shows that it was signed, by its
    `OwnPlace`. One that never was is forgotten, and what waited before it waits again.

    Robust rules have no say here: they would have to be the same at all peers. What one author can
    do is bounded by the budget of the terms.

    Only `validate` and `remake` may be called while another call is running.

    Args:
        learner: As it was created: its vector is taken for the run's initial one.
        exchange: How to write.
    """

    def __init__(self, learner: Learner, exchange: LedgerExchange) -> None:
        self.learner = learner
        self.exchange = exchange
        self.initial = learner.vector()
        self.ledger = exchange.ledger.without(())
        self._pending: Pending | None = None
        self._model = _Model(vector=self.initial, ledger_digest=self.ledger.digest())

    @property
    def privacy_spent(self) -> PrivacySpent | None:
        """What was told about training rows so far; None where nobody counts."""
        return self.exchange.training.privacy_spent

    def train(self, effect: StartTraining, should_stop: ShouldStop = never) -> TrainingOutcome:
        """Take the round's local steps and encode what they add to the model.

        A round of which a snapshot is wanted takes none: others must not need it.

        Raises:
            JobCancelled: If `should_stop` said so between two steps; nothing is changed, but that
                privacy counts the round.
            BudgetSpent: If privacy leaves nothing for another round; nothing is changed.
            LocalError: If the learner failed; as if it was canceled. Or if the own log is another
                one than was signed: what follows from it would take back at all others what is
                missing in it.
        """
        place = self._settled(effect.own)
        writer = Writer(self.exchange.author, place.incarnation)
        log = self.ledger.log(writer)
        if log.sequence != place.sequence:
            raise LocalError(
                f"the model was saved with {log.sequence} own updates, {place.sequence} were "
                "signed: restore the model that was saved with them, or begin with an empty state "
                "folder, under another incarnation; others keep the log"
            )
        if place.needs_full:
            return self._outcome(place, Snapshot.of(log), TrainingReport(loss=None, examples=0))
        self._model = self._materialized(self.ledger)
        self._load(self._model)
        try:
            made = self._contribute(effect, writer, should_stop)
        finally:
            self._load(self._model)
        return self._outcome(place, made.operation, made.report, made.waiting)

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check that an update could be an entry of the ledger, whatever is in the ledger.

        Args:
            header: Its header; the payload has the hash that it names.
            payload: Any bytes.

        Raises:
            RemoteError: If it cannot; nothing else, whatever the bytes.
        """
        self._decode(header, payload)

    def remake(self, header: UpdateHeader) -> bytes | None:
        """Make the payload of a snapshot of the ledger; None if that has not come as far.

        Args:
            header: Of the snapshot; the payload has the hash that it names.

        Raises:
            RemoteError: If the ledger has another one: its author lies.
        """
        return remake_snapshot(self.ledger, header)

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: LoadPayload,
        should_stop: ShouldStop = never,
    ) -> IntegrationOutcome:
        """Take authors' news into the ledger, make the model of it, and evaluate that.

        Of a row as much counts as connects and is within the limits, and of a proven liar nothing.
        A row of which all counts weighs one over the number of authors in the ledger, the own one
        among them.

        Args:
            effect: The job; its rows have been validated.
            load_payload: Content hash to payload.
            should_stop: Asked between batches of evaluations.

        Raises:
            JobCancelled: If `should_stop` said so; nothing is changed but that the own update is
                known to be out.
        """
        self._settled(effect.own)
        draft = self.ledger.without(effect.frozen)
        news: list[Operation] = []
        reasons = [
            _LIED if row.peer in effect.frozen else self._take_in(draft, row, load_payload, news)
            for row in effect.rows
        ]
        draft.keep_lives(dict(effect.last_lives))
        model = self._materialized(draft)
        self._load(model)
        is_done = False
        try:
            evaluation = evaluate(self.learner, effect, should_stop)
            is_done = True
        finally:
            if not is_done:
                self._load(self._model)
        self.ledger, self._model = draft, model
        for operation in news:
            self.exchange.training.observe(operation)
        self.exchange.training.end_integration()
        authors = {self.exchange.author, *(writer.author for writer in draft.logs)}
        verdicts, own_weight = _weigh(effect.rows, reasons, author_count=len(authors))
        return IntegrationOutcome(
            verdicts=verdicts, own_weight=own_weight, evaluation=evaluation, note=""
        )

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the own vector, 32 bytes."""
        return self.learner.specification.digest(self.learner.vector())

    def save(self) -> bytes:
        """Return all that later jobs depend on, in the safetensors format."""
        parts = {
            _LOGS: self.ledger.state(),
            _PENDING: {} if self._pending is None else self._pending.to_tensors(self.ledger),
            _TRAINING: self.exchange.training.state(),
        }
        state = self.learner.state()
        for prefix, tensors in parts.items():
            state |= {prefix + name: tensor for name, tensor in tensors.items()}
        return safetensors.save(state)

    def load(self, data: bytes) -> None:
        """Restore what `save` returned; later jobs then give the same bits.

        Raises:
            ConfigError: If another mechanism kept rows private; see `PrivacyGuard.load_state`.
            LocalError: If it is something else, or belongs to another model.
        """
        try:
            state = safetensors.load(data)
        except SafetensorError as error:
            raise LocalError(f"the saved model cannot be read: {error}") from error
        ledger = self.exchange.ledger.without(())
        ledger.load_state(_part(state, _LOGS))
        pending = pending_of(_part(state, _PENDING), ledger)
        training = _part(state, _TRAINING)
        if self.privacy_spent is None:
            check_never_private(training)
        self.exchange.training.load_state(training)
        own = (_LOGS, _PENDING, _TRAINING)
        self.learner.load_state({k: v for k, v in state.items() if not k.startswith(own)})
        self.ledger, self._pending = ledger, pending
        # The own operation may be in the ledger and not yet in the vector.
        self._model = _Model(vector=self.learner.vector(), ledger_digest=b"")

    def _settled(self, place: OwnPlace | None) -> OwnPlace:
        """Take the own update into the ledger if it went out."""
        if place is None:
            raise LocalError("a ledger needs to know where the own log stands; set effect.own")
        pending = self._pending
        if pending is not None and pending.is_out(place):
            writer = Writer(self.exchange.author, pending.incarnation)
            take_in(self.ledger, writer, pending.sequence, pending.entry)
            self.exchange.training.accept(pending.waiting)
            if not isinstance(pending.entry, Snapshot):
                self.exchange.training.observe(pending.entry)
            self._pending = None
        return place

    def _outcome(
        self, place: OwnPlace, entry: Entry, report: TrainingReport, waiting: Tensor | None = None
    ) -> TrainingOutcome:
        """Keep an entry until it is known to be signed."""
        self._pending = Pending(
            incarnation=place.incarnation,
            sequence=place.sequence + 1,
            entry=entry,
            waiting=waiting,
        )
        return TrainingOutcome(
            payload=encode_entry(self.ledger, entry),
            report=report,
            is_full=isinstance(entry, Snapshot),
        )

    def _contribute(
        self, effect: StartTraining, writer: Writer, should_stop: ShouldStop
    ) -> Contribution[Any]:
        training = self.exchange.training
        if not effect.train:
            nothing = training.add_nothing(self.ledger, writer, round=effect.round)
            return Contribution(operation=nothing, report=TrainingReport(loss=None, examples=0))
        return training.contribute(
            self._model.vector,
            self.ledger,
            writer,
            round=effect.round,
            before_publish=self.exchange.before_publish,
            should_stop=should_stop,
        )

    def _decode(self, header: UpdateHeader, payload: bytes, *, check: bool = True) -> Entry:
        exchange = self.exchange
        return decode_entry(
            header,
            payload,
            method=exchange.method,
            codec=exchange.codec,
            ledger=exchange.ledger,
            check=check,
        )

    def _take_in(
        self,
        draft: AnyLedger,
        row: IntegrationRow,
        load_payload: LoadPayload,
        news: list[Operation],
    ) -> str:
        """Take a row into a ledger as far as that goes.

        Returns:
            Why not to its end, or nothing.
        """
        for header in _to_take(row, draft):
            writer = Writer(row.peer, header.incarnation)
            if header.sequence <= draft.sequence(writer):
                continue
            try:
                entry = self._decode(header, load_payload(header.payload_hash), check=False)
                receipt = take_in(draft, writer, header.sequence, entry)
            except RemoteError as error:
                return error.kind
            if receipt is Receipt.GAP:
                return GAP
            if not isinstance(entry, Snapshot):
                news.append(entry)
        return ""

    def _load(self, model: _Model) -> None:
        # A copy: a learner of somebody else's may train in the memory that it is given.
        self.learner.load_vector(model.vector.clone())

    def _materialized(self, ledger: AnyLedger) -> _Model:
        digest = ledger.digest()
        if digest == self._model.ledger_digest:
            return self._model
        return _Model(vector=ledger.materialize(self.initial), ledger_digest=digest)


def _to_take(row: IntegrationRow, ledger: AnyLedger) -> Sequence[UpdateHeader]:
    """Return all of a row where it goes on from its author's log, else its last snapshot and on.

    Who has what comes before a snapshot need not believe it.
    """
    headers = (*row.before, row.header)
    writer = Writer(row.peer, row.header.incarnation)
    if headers[0].sequence <= ledger.sequence(writer) + 1:
        return headers
    alone = [index for index, it in enumerate(headers) if it.kind is UpdateKind.SNAPSHOT]
    return headers[alone[-1] if alone else 0 :]


def _weigh(
    rows: Sequence[IntegrationRow], reasons: Sequence[str], *, author_count: int
) -> tuple[tuple[Verdict, ...], float]:
    """Return verdicts, and what is left for the own log and those without news."""
    used = reasons.count("")
    share = 1.0 / max(author_count, used + 1)
    verdicts = tuple(
        Verdict(peer=row.peer, weight=0.0 if reason else share, reason=reason)
        for row, reason in zip(rows, reasons, strict=True)
    )
    return verdicts, 1.0 - used * share


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): it for name, it in state.items() if name.startswith(prefix)}
