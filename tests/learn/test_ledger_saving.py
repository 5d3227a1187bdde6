"""The bench of a ledger: what is cancelled or restored, and what it learns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from p2pfed.core.effects import StartTraining
from p2pfed.errors import LocalError
from p2pfed.learn.learner import JobCancelled
from tests.learn.ledger_peers import (
    KINDS,
    LedgerPeer,
    make_peers,
    operation_in,
    reasons,
)

METHODS = pytest.mark.parametrize("name", KINDS)
DIRECTIONS = pytest.mark.parametrize("name", ["seeds", "projected"])


# Cancelling and saving -------------------------------------------------------------------------


@METHODS
@pytest.mark.parametrize("calls", [0, 2])
def test_a_cancelled_training_leaves_no_trace(name: str, calls: int) -> None:
    (peer,) = make_peers(name, 1)
    peer.publish()
    peer.integrate()
    before = peer.bench.save()
    count = iter(range(calls))
    effect = StartTraining(job=1, round=1, train=True, degree=0, own=peer.place())
    with pytest.raises(JobCancelled):
        peer.bench.train(effect, lambda: next(count, None) is None)
    assert peer.bench.save() == before


def test_a_cancelled_integration_leaves_no_trace() -> None:
    own, neighbor = make_peers("seeds", 2)
    header = neighbor.publish()
    before = own.bench.save()
    with pytest.raises(JobCancelled):
        own.integrate([header], evaluate=True, should_stop=lambda: True)
    assert own.bench.save() == before
    assert reasons(own.integrate([header])) == [""]


def test_a_training_without_finite_losses_fails_and_leaves_no_trace() -> None:
    tables = {
        "training": {
            "steps_per_round": 3,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": 1.0},
        }
    }
    (peer,) = make_peers("seeds", 1, probe_length=1e38, tables=tables)
    before = peer.bench.save()
    with pytest.raises(LocalError, match="no loss of round 0 was finite"):
        peer.train()
    assert peer.bench.save() == before


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("seeds", {}),
        ("seeds", {"sampling": "history"}),
        ("projected", {"epoch_count": 3}),
        ("sparse-sum", {}),
        ("adapter-set", {"open_max": 2}),
    ],
)
@pytest.mark.parametrize("is_out", [True, False])
def test_a_restored_peer_goes_on_where_it_was(
    name: str, constants: dict[str, Any], is_out: bool
) -> None:
    own, neighbor = make_peers(name, 2, **constants)
    twin = LedgerPeer(own.payloads, name, 0, count=2, **constants)
    for _ in range(3):
        neighbor.publish()
    own.publish()
    own.integrate(neighbor.said[:2])
    outcome = own.train()
    twin.restart(own.bench.save())  # while an own operation is pending
    assert twin.bench.digest() == own.bench.digest()
    twin.sequence, twin.round = own.sequence, own.round
    for peer in (own, twin):
        if is_out:
            peer.sign(outcome)
        peer.integrate(neighbor.said)
    assert twin.bench.digest() == own.bench.digest()
    assert twin.bench.save() == own.bench.save()
    assert twin.train().payload == own.train().payload


def saved_by(name: str, **constants: Any) -> bytes:
    own, neighbor = make_peers(name, 2, **constants)
    own.publish()
    own.integrate([neighbor.publish()])
    own.train()
    return own.bench.save()


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (lambda: b"", "cannot be read"),
        (lambda: b"garbage", "cannot be read"),
        (lambda: saved_by("projected"), "of training"),
        (lambda: saved_by("seeds", sampling="history"), "of training"),
        (lambda: saved_by("seeds", direction_count=128), "cannot be read"),
    ],
    ids=["empty", "garbage", "projected", "history", "directions"],
)
def test_another_state_is_refused_and_changes_nothing(
    saved: Callable[[], bytes], words: str
) -> None:
    (peer,) = make_peers("seeds", 1)
    before = peer.bench.save()
    with pytest.raises(LocalError, match=words):
        peer.bench.load(saved())
    assert peer.bench.save() == before


# Learning --------------------------------------------------------------------------------------


def test_history_learns_from_everybody() -> None:
    own, neighbor = make_peers("seeds", 2, sampling="history")
    training = own.bench.exchange.training
    own.publish()
    own.integrate([neighbor.publish()])
    tallies = training.state()["tallies"]
    terms = own.bench.ledger.terms
    both = [
        operation_in(own.payloads[it[0].payload_hash], terms) for it in (own.said, neighbor.said)
    ]
    counts = sum(operation.coefficients != 0 for operation in both)
    assert tallies[1].tolist() == np.asarray(counts).tolist()
    own.integrate(neighbor.said)  # known already
    assert torch.equal(training.state()["tallies"], tallies)


def learn(name: str, rounds: int, **constants: Any) -> tuple[float, int]:
    """Let three peers learn; return the test accuracy and the largest payload's bytes."""
    peers = make_peers(name, share=1 / 3, direction_count=1_024, **constants)
    bytes_max = 0
    for _ in range(rounds):
        news = {peer.identity.peer: [peer.publish()] for peer in peers}
        bytes_max = max(bytes_max, *(chain[0].payload_bytes for chain in news.values()))
        for peer in peers:
            others = [chain for author, chain in news.items() if author != peer.identity.peer]
            peer.integrate(*others)
    assert len({peer.bench.digest() for peer in peers}) == 1
    evaluation = peers[0].integrate(test=True).evaluation
    assert evaluation is not None
    assert evaluation.test_score is not None
    return evaluation.test_score, bytes_max


def steps(count: int, rate: float) -> dict[str, Any]:
    rule = {"name": "sgd", "learning_rate": rate}
    return {"training": {"steps_per_round": count, "device": "cpu", "step_rule": rule}}


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["uniform", "history"])
def test_digits_are_learned_from_losses(sampling: str) -> None:
    accuracy, bytes_max = learn("seeds", 20, sampling=sampling, tables=steps(50, 0.015))
    assert accuracy > 0.75
    assert bytes_max < 270


@pytest.mark.slow
@pytest.mark.parametrize("constants", [{"epoch_count": 4}, {"epoch_count": 16}])
def test_digits_are_learned_from_projections(constants: dict[str, Any]) -> None:
    accuracy, bytes_max = learn("projected", 20, tables=steps(10, 0.3), **constants)
    assert accuracy > 0.88
    assert bytes_max < 2_600
