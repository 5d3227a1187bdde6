"""The bench of a ledger: one model everywhere, and nothing unsigned in it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from p2pfed.core.effects import StartIntegration, StartTraining
from p2pfed.errors import CodecError, LocalError
from p2pfed.learn.learner import TrainingReport
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.log import Snapshot, Writer
from tests.learn.ledger_peers import (
    KINDS,
    LIFE,
    LedgerPeer,
    log_of,
    main_of,
    make_peers,
    model_of,
    reasons,
    sign_entry,
)

METHODS = pytest.mark.parametrize("name", KINDS)
DIRECTIONS = pytest.mark.parametrize("name", ["seeds", "projected"])


# One model -------------------------------------------------------------------------------------


@METHODS
def test_peers_that_were_told_the_same_hold_the_same_bits(name: str) -> None:
    first, second, third = make_peers(name)
    for peer in (first, second, third):
        for _ in range(4):
            peer.publish()
    for step in range(4):  # one by one, in turn
        first.integrate([second.said[step]], [third.said[step]])
    second.integrate(third.said)  # as whole chains, one after the other
    second.integrate(first.said)
    third.integrate(first.said[:2], second.said[:3])
    third.integrate(first.said[1:], second.said)  # part of which is known
    assert len({peer.bench.digest() for peer in (first, second, third)}) == 1
    assert len({peer.bench.ledger.digest() for peer in (first, second, third)}) == 1
    assert torch.equal(first.bench.learner.vector(), model_of(first))
    assert not torch.equal(first.bench.learner.vector(), first.bench.initial)


@METHODS
def test_a_local_phase_leaves_the_model_of_the_ledger(name: str) -> None:
    own, neighbor = make_peers(name, 2)
    own.integrate([neighbor.publish()])
    before = own.bench.learner.vector()
    outcome = own.train()
    assert torch.equal(own.bench.learner.vector(), before)
    assert outcome.report.loss is not None
    assert outcome.report.examples == 5 * 32


@METHODS
def test_nothing_but_the_signed_operation_moves_the_model(name: str) -> None:
    (peer,) = make_peers(name, 1)
    peer.sign(outcome := peer.train())
    operation = peer.bench.ledger.decode(main_of(outcome.payload))
    wanted = peer.bench.ledger.without(())
    peer.integrate()
    wanted.apply(Writer(peer.identity.peer, LIFE), 1, operation)
    assert peer.bench.ledger.digest() == wanted.digest()
    assert torch.equal(peer.bench.learner.vector(), wanted.materialize(peer.bench.initial))
    peer.bench.validate(peer.said[0], outcome.payload)


def test_initial_values_are_those_of_the_run() -> None:
    first, second = make_peers("projected", 2)
    assert torch.equal(first.bench.initial, second.bench.initial)
    assert first.bench.digest() == second.bench.digest()


def test_a_learner_may_train_in_the_memory_that_it_is_given() -> None:
    (peer,) = make_peers("projected", 1)
    bench = peer.bench
    real, held = bench.learner, {"vector": bench.initial.clone()}

    class Careless:
        specification, example_count = real.specification, 1

        def vector(self) -> Tensor:
            return held["vector"].clone()

        def load_vector(self, vector: Tensor) -> None:
            held["vector"] = vector

        def train(self, round: int, **_: object) -> TrainingReport:
            held["vector"] += 0.01 * (round + 1)
            return TrainingReport(loss=1.0, examples=1)

    bench.learner = Careless()  # type: ignore[assignment]
    bench.exchange.training.training._learner = bench.learner
    start = bench.initial.clone()
    for _ in range(3):
        peer.publish()
        peer.integrate()
        assert torch.equal(bench.initial, start)
        assert torch.equal(bench.learner.vector(), model_of(peer))


# Verdicts --------------------------------------------------------------------------------------


def test_a_row_weighs_one_over_the_authors() -> None:
    own, *others = make_peers("seeds", 4)
    chains = [[peer.publish()] for peer in others]
    outcome = own.integrate(*chains[:2])
    assert [verdict.weight for verdict in outcome.verdicts] == pytest.approx([1 / 3, 1 / 3])
    assert outcome.own_weight == pytest.approx(1 / 3)
    outcome = own.integrate(chains[2])
    assert [verdict.weight for verdict in outcome.verdicts] == [0.25]
    assert outcome.own_weight == 0.75
    assert (outcome.evaluation, outcome.note) == (None, "")
    assert own.integrate().own_weight == 1.0


def test_the_model_is_evaluated_as_asked() -> None:
    own, neighbor = make_peers("seeds", 2)
    outcome = own.integrate([neighbor.publish()], evaluate=True)
    assert outcome.evaluation is not None
    assert outcome.evaluation.test_score is None
    loss = own.bench.learner.evaluate("validation", should_stop=lambda: False)[1]
    assert outcome.evaluation.loss == loss
    outcome = own.integrate(test=True)
    assert outcome.evaluation is not None
    assert outcome.evaluation.test_score is not None


# Gaps and snapshots ----------------------------------------------------------------------------


def test_a_chain_that_does_not_connect_is_a_gap() -> None:
    own, neighbor = make_peers("seeds", 2)
    for _ in range(4):
        neighbor.publish()
    own.integrate(neighbor.said[:1])
    before = own.bench.digest()
    outcome = own.integrate(neighbor.said[2:])
    assert reasons(outcome) == ["gap"]
    assert (outcome.verdicts[0].weight, outcome.own_weight) == (0.0, 1.0)
    assert own.bench.digest() == before
    assert reasons(own.integrate(neighbor.said[1:])) == [""]
    assert own.bench.ledger.sequence(Writer(neighbor.identity.peer, LIFE)) == 4


@METHODS
def test_a_snapshot_stands_alone(name: str) -> None:
    author, newcomer, witness = make_peers(name)
    for _ in range(3):
        author.publish()
    witness.integrate(author.said)
    snapshot = author.publish(needs_full=True)
    after = author.publish()
    assert [snapshot.kind, after.kind] == [UpdateKind.SNAPSHOT, UpdateKind.OPERATION]
    author.bench.validate(snapshot, author.payloads[snapshot.payload_hash])
    assert reasons(newcomer.integrate([snapshot])) == [""]
    assert reasons(newcomer.integrate([snapshot, after])) == [""]
    assert reasons(witness.integrate([author.said[2], snapshot, after])) == [""]
    author.integrate()
    digests = {peer.bench.digest() for peer in (author, newcomer, witness)}
    assert len(digests) == 1
    assert log_of(author).sequence == 5


@METHODS
def test_who_has_the_log_makes_the_snapshot(name: str) -> None:
    author, witness, late = make_peers(name)
    author.publish()
    author.publish()
    snapshot = author.publish(needs_full=True)
    assert witness.bench.remake(snapshot) is None
    witness.integrate(author.said[:2])
    late.integrate(author.said)
    assert witness.bench.remake(snapshot) == author.payloads[snapshot.payload_hash]
    assert late.bench.remake(snapshot) is None
    assert late.bench.digest() == witness.bench.digest()  # it adds nothing


@METHODS
def test_sums_are_read_once_and_where_the_log_is_not_at_all(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, witness, newcomer = make_peers(name)
    author.publish()
    author.publish(needs_full=True)
    witness.integrate(author.said[:1])
    read: list[int] = []
    kind = type(author.bench.ledger)
    restore = kind._restore

    def counted(ledger: Any, sequence: int, sums: bytes, digest: bytes) -> Any:
        read.append(sequence)
        return restore(ledger, sequence, sums, digest)

    monkeypatch.setattr(kind, "_restore", counted)
    witness.integrate(author.said)
    assert read == []
    newcomer.integrate(author.said[1:])
    assert read == [2]
    assert newcomer.bench.digest() == witness.bench.digest()


def log_of_another(name: str) -> tuple[LedgerPeer, LedgerPeer, UpdateHeader]:
    """Return a liar, who has it, and the snapshot of another log that the liar signs next."""
    liar, witness, other = make_peers(name)
    for _ in range(3):
        liar.publish()
    for _ in range(3):
        other.publish()
    other.integrate()
    witness.integrate(liar.said[:2])
    return liar, witness, sign_entry(liar, Snapshot.of(log_of(other)), 4)


@METHODS
@pytest.mark.parametrize("count", [2, 3])
def test_a_snapshot_that_the_log_does_not_lead_to_is_a_lie(name: str, count: int) -> None:
    liar, witness, lie = log_of_another(name)
    witness.integrate(liar.said[:count])
    before = witness.bench.digest()
    if count == 3:
        with pytest.raises(CodecError, match="snapshot 4 is not that of its author's log"):
            witness.bench.remake(lie)
    chain = [*liar.said[:3], lie]
    assert reasons(witness.integrate(chain)) == ["codec"]
    if count == 3:
        assert witness.bench.digest() == before
    assert witness.bench.ledger.sequence(Writer(liar.identity.peer, LIFE)) == 3


def test_a_round_of_a_snapshot_trains_nothing() -> None:
    (peer,) = make_peers("projected", 1)
    peer.publish()
    outcome = peer.train(needs_full=True)
    assert (outcome.is_full, outcome.report.loss, outcome.report.examples) == (True, None, 0)


def test_what_comes_before_a_snapshot_may_be_missing() -> None:
    author, newcomer = make_peers("seeds", 2)
    for _ in range(3):
        author.publish()
    author.publish(needs_full=True)
    assert reasons(newcomer.integrate(author.said[1:])) == [""]
    author.integrate()
    assert newcomer.bench.digest() == author.bench.digest()


def test_who_lost_its_own_log_signs_nothing_that_would_take_it_back() -> None:
    author, witness = make_peers("seeds", 2)
    for _ in range(2):
        author.publish()
    witness.integrate(author.said)
    author.bench = author.remake()
    wanted = "saved with 0 own updates, 2 were signed: .* begin with an empty state folder"
    with pytest.raises(LocalError, match=wanted):
        author.train()
    assert witness.bench.ledger.sequence(Writer(author.identity.peer, LIFE)) == 2


def test_a_new_incarnation_adds_to_the_old_one() -> None:
    author, witness = make_peers("seeds", 2)
    for _ in range(2):
        author.publish()
    author.integrate()
    author.incarnation, author.sequence = 5, 0
    header = author.publish()
    assert header.kind is UpdateKind.OPERATION
    author.integrate()
    witness.integrate(author.said[:2])
    witness.integrate([header])
    assert witness.bench.digest() == author.bench.digest()
    assert len(witness.bench.ledger.logs) == 2


def test_an_old_log_of_ones_own_comes_back_from_others() -> None:
    author, witness = make_peers("seeds", 2)
    for _ in range(2):
        author.publish()
    old = list(author.said)
    witness.integrate(old)
    author.bench = author.remake()  # the disk is lost
    author.incarnation, author.sequence = 5, 0
    assert reasons(author.integrate(old)) == [""]
    assert author.bench.digest() == witness.bench.digest()


# What never went out ---------------------------------------------------------------------------


@METHODS
def test_an_operation_that_was_not_signed_is_forgotten(name: str) -> None:
    peer, other = make_peers(name, 2)
    peer.publish()
    peer.integrate()
    before = peer.bench.digest()
    peer.train()
    peer.integrate()
    assert peer.bench.digest() == before
    again = peer.train()  # the same round: what waits is what waited, and so are the bytes
    other.integrate(peer.said)
    header = peer.sign(again)
    assert reasons(other.integrate([header])) == [""]
    peer.integrate()
    assert other.bench.digest() == peer.bench.digest()


@METHODS
def test_a_training_that_never_went_out_can_be_repeated(name: str) -> None:
    (peer,) = make_peers(name, 1)
    if name == "projected":  # whose optimizer has no memory
        peer.publish()
    assert peer.train().payload == peer.train().payload


def test_an_operation_is_known_to_be_out_by_the_next_training() -> None:
    peer, other = make_peers("projected", 2)
    for _ in range(3):
        peer.publish()  # no integration between
    peer.integrate()
    other.integrate(peer.said)
    assert other.bench.digest() == peer.bench.digest()
    assert log_of(peer).sequence == 3


@pytest.mark.parametrize(
    ("kind", "constants"), [("projected", {}), ("sparse-sum", {}), ("adapter-set", {"rank": 1})]
)
def test_what_an_update_leaves_out_waits_until_it_went_out(
    kind: str, constants: dict[str, Any]
) -> None:
    (peer,) = make_peers(kind, 1, **constants)
    training = peer.bench.exchange.training
    peer.train()
    assert training.state() == {}
    peer.publish()
    peer.integrate()
    waiting = training.state()["waiting"]
    assert waiting.any()
    peer.train()
    assert torch.equal(training.state()["waiting"], waiting)


def test_what_waits_is_in_the_next_operation() -> None:
    (patient,), (forgetful,) = (make_peers("projected", 1, feedback=it) for it in (1.0, 0.0))
    for peer in (patient, forgetful):
        peer.publish()
        peer.publish()
    assert patient.said[0].payload_hash == forgetful.said[0].payload_hash
    assert patient.said[1].payload_hash != forgetful.said[1].payload_hash


def test_nothing_waits_without_feedback() -> None:
    (peer,) = make_peers("projected", 1, feedback=0.0)
    peer.publish()
    peer.integrate()
    assert peer.bench.exchange.training.state() == {}


def test_a_ledger_has_to_know_where_the_own_log_stands() -> None:
    (peer,) = make_peers("seeds", 1)
    with pytest.raises(LocalError, match=r"effect\.own"):
        peer.bench.train(StartTraining(job=1, round=0, train=True, degree=0))
    effect = StartIntegration(job=2, round=0, rows=(), degree=0, evaluate=False, test=False)
    with pytest.raises(LocalError, match=r"effect\.own"):
        peer.bench.integrate(effect, peer.payloads.__getitem__)


def test_an_own_log_longer_than_what_was_signed_is_not_continued() -> None:
    (peer,) = make_peers("seeds", 1)
    peer.publish()
    peer.integrate()
    peer.sequence = 0
    with pytest.raises(LocalError, match="another incarnation"):
        peer.train()
