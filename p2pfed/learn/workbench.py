"""The workbench: does the jobs that the core orders, for the node and the simulator alike."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

import robust
from p2pfed.core.effects import OwnPlace, StartIntegration, StartTraining
from p2pfed.core.events import GAP, NOT_READ, OffenceKind, Verdict
from p2pfed.errors import ConfigError, LocalError, NotReadError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.learn.decoded import DecodeCache, DecodedUpdate, check_header, decode_update
from p2pfed.learn.evaluation import evaluate
from p2pfed.learn.hidden_training import HiddenTraining
from p2pfed.learn.intake import PlainRows, ReadRows, verdict_on
from p2pfed.learn.jobs import IntegrationOutcome, LoadPayload, TrainingOutcome, never, unchanged
from p2pfed.learn.learner import Learner, ShouldStop, TrainingReport
from p2pfed.learn.mixing import MAX_DEGREE, MIXINGS, Claim, row_weights
from p2pfed.learn.outer import OuterState, OuterStep, is_outer_state
from p2pfed.learn.privacy.guard import (
    PrivacyGuard,
    PrivacySpent,
    check_never_private,
    is_privacy_state,
)
from p2pfed.learn.probing import can_be_probed, held_out_loss, relative_gains
from p2pfed.learn.public_copies import PublicCopies, is_public_state
from p2pfed.learn.scoring import Scoring
from p2pfed.learn.step_normalization import scaled_to_steps
from p2pfed.messages import UpdateHeader
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import check_choice, check_integer
from p2pfed.updates.method import Correction
from p2pfed.wire.payload import encode_payload

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """How a peer exchanges what it learned.

    Attributes:
        method: Name of the run's update method.
        codec: The run's payload codec.
        integrator: Turns neighbors' rows into the next own vector.
        mixing: A name of `p2pfed.learn.mixing.MIXINGS`, or `max-degree`.
        degree_max: The most neighbors that any peer has, for `max-degree`; the same at all peers.
        before_publish: Applied to the own difference from the initial vector before it is
            encoded, shape (d,) to (d,); lets experiments make a peer hostile.
        correct: The method's `correction`, applied to what the integrator returns.
        outer: The step that a peer takes towards what integration returns; None to go on from it.
        normal_steps: What a round learned is scaled to that of so many local steps; None to leave
            it as it is. The same number at all peers.

    Raises:
        ConfigError: If the outer step does not go together with the codec or the integrator, or
            the mixing is unknown or lacks its number.
    """

    method: str
    codec: Codec
    integrator: robust.Integrator
    mixing: str = "metropolis"
    before_publish: Callable[[Tensor], Tensor] = unchanged
    correct: Correction | None = None
    outer: OuterStep | None = None
    normal_steps: int | None = None
    degree_max: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.mixing, "mixing", (*MIXINGS, MAX_DEGREE))
        if (self.mixing == MAX_DEGREE) != (self.degree_max is not None):
            fix = (
                f"write the most neighbors of any peer where weights = {MAX_DEGREE}, and only there"
            )
            raise ConfigError("degree_max", self.degree_max, fix)
        if self.degree_max is not None:
            check_integer(self.degree_max, "degree_max", least=1)
        if self.normal_steps is not None:
            check_integer(self.normal_steps, "steps.normal_steps", least=1)
        if self.outer is None:
            return
        if self.codec.is_for_differences:
            fix = (
                f"write none, or a codec other than {self.codec.name}, whose gossip has small steps"
            )
            raise ConfigError("outer.name", self.outer.name, fix)
        if self.integrator.electing is not None:
            fix = f"write none; {self.method} elects what to go on from, and averages nothing"
            raise ConfigError("outer.name", self.outer.name, fix)
        if self.integrator.gamma != 1.0:
            fix = "write 1; with an outer step, outer.learning_rate says how far to go"
            raise ConfigError("integration.gamma", self.integrator.gamma, fix)


@final
class Workbench:
    """Trains, encodes, validates, integrates and evaluates for one peer.

    Payloads hold the difference from the initial vector, which every peer knows: a lossy codec
    then rounds what was learned and not what was there from the start. Integration works on the
    same differences, because a common start would otherwise dominate every norm and angle.

    A codec for differences rounds what changed since the last update instead, as `PublicCopies`
    says. Integration then works on what everybody knows of each peer, the own row included, and
    moves the own vector by as much as it moves that row.

    Only `validate` may be called while another call is running.

    Args:
        learner: As it was created: its vector is taken for the run's initial one.
        exchange: How to exchange.
        cache: Decoded updates; one of its own if left out.
        privacy: Keeps training rows private; neighbors are not told their number then.
    """

    def __init__(
        self,
        learner: Learner,
        exchange: Exchange,
        *,
        cache: DecodeCache | None = None,
        privacy: PrivacyGuard | None = None,
    ) -> None:
        self.learner = learner
        self.exchange = exchange
        self.initial = learner.vector().clone()  # some learners train in what they return
        self._cache = DecodeCache() if cache is None else cache
        self._copies: PublicCopies | None = None
        if exchange.codec.is_for_differences:
            self._copies = PublicCopies(exchange.codec, len(self.initial))
        self._outer = None if exchange.outer is None else OuterState(exchange.outer, self.initial)
        self._privacy = privacy
        self._hidden: HiddenTraining | None = None
        if privacy is not None:
            self._hidden = HiddenTraining(learner, privacy.hide, self._scaled)
        self._told_of_no_loss = False

    @property
    def privacy_spent(self) -> PrivacySpent | None:
        """What was told about training rows so far; None where nobody counts."""
        return None if self._privacy is None else self._privacy.spent

    def train(self, effect: StartTraining, should_stop: ShouldStop = never) -> TrainingOutcome:
        """Take the round's local steps and encode the own vector.

        Raises:
            JobCancelled: If `should_stop` said so between two steps; nothing is changed, but that
                privacy counts the round.
            BudgetSpent: If privacy leaves nothing for another round; nothing is changed.
            LocalError: If the learner failed; as if it was canceled.
        """
        self._settle()
        report = TrainingReport(loss=None, examples=0)
        if effect.train and self._privacy is not None and self._hidden is not None:
            self._privacy.begin_round()
            report = self._hidden.train(effect.round, should_stop=should_stop)
            self._privacy.end_round()
        elif effect.train:
            report = self._take_steps(
                lambda: self.learner.train(effect.round, should_stop=should_stop)
            )
        return self._publish(effect, report, self.learner.vector())

    def train_as(
        self, effect: StartTraining, take_steps: Callable[[], TrainingReport], *, vector: Tensor
    ) -> TrainingOutcome:
        """Do as `train` does, without privacy, with steps that the learner does not take by itself.

        Args:
            effect: The job.
            take_steps: Leaves the learner as its steps would.
            vector: What the learner's is then, shape (d,); read only.

        Raises:
            LocalError: As from `train`.
        """
        assert self._privacy is None, "who hides rows has to see every step"
        report = self._take_steps(take_steps)
        is_scaled = self.exchange.normal_steps is not None
        return self._publish(effect, report, self.learner.vector() if is_scaled else vector)

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Check that an update can be integrated, and remember it decoded.

        Args:
            header: Its header; the payload has the hash that it names.
            payload: Any bytes.

        Raises:
            RemoteError: If it cannot; nothing else, whatever the bytes.
        """
        self._decode(header, lambda _: payload)

    def remake(self, header: UpdateHeader) -> bytes | None:  # noqa: ARG002 - as a ledger's
        """Make nothing: every update of this kind is fetched."""
        return None

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: LoadPayload,
        should_stop: ShouldStop = never,
    ) -> IntegrationOutcome:
        """Integrate rows into the own model and evaluate it, as far as the effect asks for it.

        Args:
            effect: The job; its rows may be ones that nobody can read.
            load_payload: Content hash to payload.
            should_stop: Asked between batches of evaluations, of neighbors' models too.

        Raises:
            JobCancelled: If `should_stop` said so; nothing is changed.
        """
        self._settle()
        before = self.learner.vector()
        outer_before = {} if self._outer is None else self._outer.state()
        rows = self._read(effect, load_payload)
        verdicts, own_weight, note = self._mix(effect, rows, before, should_stop)
        is_done = False
        try:
            if self._outer is not None:
                self.learner.load_vector(self._outer.step(self.learner.vector()))
            evaluation = evaluate(self.learner, effect, should_stop)
            is_done = True
        finally:
            if not is_done:
                self.learner.load_vector(before)
                if self._outer is not None:
                    self._outer.load_state(outer_before)
        if self._copies is not None:
            self._copies.commit(rows.copies)
        if self._privacy is not None:
            self._privacy.end_integration()
        return IntegrationOutcome(
            verdicts=verdicts, own_weight=own_weight, evaluation=evaluation, note=note
        )

    @property
    def is_plain(self) -> bool:
        """Whether integrations read and change nothing but the learner's vector."""
        is_more = self._copies or self._outer or self._privacy or self.exchange.correct
        return not is_more

    def plain_rows(self, effect: StartIntegration, load_payload: LoadPayload) -> PlainRows | None:
        """Return what an `is_plain` bench's job is on, if it is no more than its rule on rows."""
        if any(it.is_probed or it.mass_max is not None for it in effect.rows):
            return None
        rows = self._read(effect, load_payload)
        if rows.refused:
            return None
        peers = sorted(rows.vectors)
        return PlainRows(
            vectors=[rows.vectors[peer] for peer in peers],
            weights=self._weights(effect, rows, peers),
        )

    def digest(self) -> bytes:
        """Return the BLAKE3-256 of the own vector, 32 bytes."""
        self._settle()
        return self.learner.specification.digest(self.learner.vector())

    def save(self) -> bytes:
        """Return all that later jobs depend on, in the safetensors format."""
        self._settle()
        public = {} if self._copies is None else self._copies.state()
        outer = {} if self._outer is None else self._outer.state()
        private = {} if self._privacy is None else self._privacy.state()
        return safetensors.save({**self.learner.state(), **public, **outer, **private})

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
        self._settle()
        public = _part(state, is_public_state)
        if self._copies is not None:
            self._copies.load_state(public)
            state = {name: tensor for name, tensor in state.items() if name not in public}
        spent = _part(state, is_privacy_state)
        if self._privacy is None:
            check_never_private(spent)
        else:
            self._privacy.load_state(spent)
        outer = _part(state, is_outer_state)
        others = spent.keys() | outer.keys()
        self.learner.load_state({name: it for name, it in state.items() if name not in others})
        if self._outer is not None and outer:
            self._outer.load_state(outer)
        elif self._outer is not None:  # saved without an outer step
            self._outer.restart(self.learner.vector())

    def _publish(
        self, effect: StartTraining, report: TrainingReport, vector: Tensor
    ) -> TrainingOutcome:
        if self._outer is not None:
            self._outer.trained()
        difference = self.exchange.before_publish(vector - self.initial)
        main, is_full = self._encode(difference, effect.own)
        claim = self._claim(effect.degree)
        payload = encode_payload(main, claim.to_section())
        return TrainingOutcome(payload=payload, report=report, is_full=is_full)

    def _take_steps(self, train: Callable[[], TrainingReport]) -> TrainingReport:
        if self.exchange.normal_steps is None:
            return train()
        before = self.learner.vector().clone()  # copies: some learners train in what they return
        report = train()
        after = self.learner.vector().clone()
        self.learner.load_vector(before)  # which it keeps if there is an error
        self.learner.load_vector(self._scaled(before, after, report))
        return report

    def _scaled(self, before: Tensor, after: Tensor, report: TrainingReport) -> Tensor:
        """Return what a round led to, as if it had been of the normal number of steps."""
        normal_steps = self.exchange.normal_steps
        if normal_steps is None:
            return after
        if not report.steps:
            raise LocalError(
                f"training.normal_steps = {normal_steps} needs to know how many steps a round took:"
                " let the learner report them (join: exchange(steps=...)), or write 0"
            )
        return scaled_to_steps(before, after, steps=report.steps, normal_steps=normal_steps)

    def _settle(self) -> None:
        """See that the learner's vector is one that others may know."""
        if self._hidden is not None:
            self._hidden.settle()

    def _claim(self, degree: int) -> Claim:
        # That rows are there at all is no secret, how many is one.
        examples = self.learner.example_count if self._privacy is None else 0
        return Claim(examples=examples, degree=degree)

    def _encode(self, difference: Tensor, place: OwnPlace | None) -> tuple[bytes, bool]:
        """Return the main section, and whether it is a full update."""
        if self._copies is None:
            return self.exchange.codec.encode(difference), True
        assert place is not None
        return self._copies.encode(difference, place)

    def _read(self, effect: StartIntegration, load_payload: LoadPayload) -> ReadRows:
        """Decode the rows of an integration, and put public copies together."""
        rows = ReadRows()
        for row in effect.rows:
            try:
                update = self._decode(row.header, load_payload)
                if self._copies is None:
                    rows.vectors[row.peer] = update.difference
                else:
                    copy = self._copies.follow(
                        row, lambda header: self._decode(header, load_payload).difference
                    )
                    if copy is None:
                        rows.refuse(row.peer, GAP)
                        continue
                    rows.copies[row.peer] = copy
                    rows.vectors[row.peer] = copy.vector
                rows.claims[row.peer] = update.claim
            except RemoteError as error:
                # Differences were validated before: it is their sum that cannot be used.
                offence = OffenceKind(error.kind) if self._copies is None else None
                rows.refuse(row.peer, error.kind, offence)
            except NotReadError:
                rows.refuse(row.peer, NOT_READ)
        return rows

    def _own_row(self, effect: StartIntegration, before: Tensor) -> Tensor:
        """Return the own row: what others know of the own vector, or the vector itself."""
        own = None
        if self._copies is not None and effect.own is not None:
            own = self._copies.own(effect.own)
        return before - self.initial if own is None else own

    def _mix(
        self, effect: StartIntegration, rows: ReadRows, before: Tensor, should_stop: ShouldStop
    ) -> tuple[tuple[Verdict, ...], float, str]:
        refused = rows.refused
        if not rows.vectors:
            return tuple(refused[row.peer] for row in effect.rows), 1.0, ""
        # Sorted, so that no sum depends on the order in which updates arrived.
        peers = sorted(rows.vectors)
        weights = self._weights(effect, rows, peers)
        own = self._own_row(effect, before)
        integration = self._integrator(should_stop).integrate(
            own,
            [
                robust.Row(peer, rows.vectors[peer], weight)
                for peer, weight in zip(peers, weights, strict=True)
            ],
            mass_caps={
                row.peer: row.mass_max
                for row in effect.rows
                if row.peer in rows.vectors and row.mass_max is not None
            },
            round=effect.round,
        )
        found = {verdict.peer: verdict for verdict in integration.verdicts}
        probed = {
            row.peer: self.initial + rows.vectors[row.peer]
            for row in effect.rows
            if row.is_probed and row.peer in rows.vectors and can_be_probed(found[row.peer].reason)
        }
        gains = self._probe(effect.round, before, probed, should_stop)
        if not integration.kept_own:
            mixed = self._corrected(own, rows, integration)
            if self._copies is not None:  # by as much as what others know of it
                mixed = before + (mixed - (self.initial + own))
            self.learner.load_vector(mixed)
        verdicts = tuple(
            refused.get(row.peer)
            or verdict_on(
                row, found[row.peer], integration.observations.get(row.peer), gains.get(row.peer)
            )
            for row in effect.rows
        )
        return verdicts, integration.own_weight, integration.note

    def _weights(
        self, effect: StartIntegration, rows: ReadRows, peers: Sequence[PeerId]
    ) -> list[float]:
        importances = {row.peer: row.importance for row in effect.rows}
        return row_weights(
            self.exchange.mixing,
            self._claim(effect.degree),
            [rows.claims[peer] for peer in peers],
            [importances[peer] for peer in peers],
            degree_max=self.exchange.degree_max or 1,
        )

    def _corrected(self, own: Tensor, rows: ReadRows, integration: robust.Integration) -> Tensor:
        """Return what the integrator made of the own row, as a vector, shape (d,)."""
        mixed = self.initial + integration.vector
        if self.exchange.correct is None:
            return mixed
        gamma = self.exchange.integrator.gamma
        weights = [max(0.0, 1.0 - gamma + gamma * integration.own_weight)]
        vectors = [self.initial + own]
        found = {verdict.peer: gamma * verdict.weight for verdict in integration.verdicts}
        for peer, vector in sorted(rows.vectors.items()):
            if found[peer] > 0.0:
                weights.append(found[peer])
                vectors.append(self.initial + vector)
        # What is missing to 1 belongs to the initial vector, from which nothing was learned.
        shares = torch.tensor(weights, dtype=torch.float64)
        return self.exchange.correct(torch.stack(vectors), shares / shares.sum(), mixed)

    def _probe(
        self, round: int, own: Tensor, rows: Mapping[PeerId, Tensor], should_stop: ShouldStop
    ) -> dict[PeerId, float]:
        loss = held_out_loss(self.learner, round, should_stop=should_stop)
        gains = relative_gains(loss, own, rows)
        if rows and not gains and not self._told_of_no_loss:
            self._told_of_no_loss = True
            _log.warning(
                "the loss gate judges nobody: the own held-out loss is not a number; if evaluate "
                "is a function of yours, let it return (score, loss)"
            )
        return gains

    def _integrator(self, should_stop: ShouldStop) -> robust.Integrator:
        integrator = self.exchange.integrator
        if not isinstance(integrator.evaluate, Scoring) or should_stop is never:
            return integrator  # another one would do the same, and has to check what it is told
        # To score every neighbor's model can take longer than all else in a round.
        scoring = replace(integrator.evaluate, should_stop=should_stop)
        return replace(integrator, evaluate=scoring)

    def _decode(self, header: UpdateHeader, load_payload: LoadPayload) -> DecodedUpdate:
        codec = check_header(header, method=self.exchange.method, codec=self.exchange.codec)
        update = self._cache.get(header)
        if update is None:
            payload = load_payload(header.payload_hash)
            size = self.learner.specification.size
            update = decode_update(payload, codec=codec, size=size)
            self._cache.put(header, update)
        return update


def _part(state: Mapping[str, Tensor], belongs: Callable[[str], bool]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if belongs(name)}
