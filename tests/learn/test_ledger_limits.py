"""The bench of a ledger: epochs, budgets, relays, liars and hostile updates."""

import contextlib
import logging
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from p2pfed.errors import LimitExceeded, RemoteError, SpecMismatch
from p2pfed.learn.jobs import TrainingOutcome
from p2pfed.learn.learner import TrainingReport
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.log import Writer
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.wire.hashes import content_hash
from p2pfed.wire.payload import encode_payload
from tests.learn.ledger_peers import (
    KINDS,
    LIFE,
    LedgerPeer,
    make_peers,
    operation_in,
    reasons,
    sign_entry,
)

METHODS = pytest.mark.parametrize("name", KINDS)
DIRECTIONS = pytest.mark.parametrize("name", ["seeds", "projected"])


# Epochs, budget, relays, liars -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "constants", "epochs"),
    [
        ("seeds", {}, [0] * 6),
        ("seeds", {"rounds_per_epoch": 2, "epoch_count": 2}, [0, 0, 1, 1, 0, 0]),
        ("projected", {"epoch_count": 4}, [0, 1, 2, 3, 0, 1]),
        ("projected", {"rounds_per_epoch": 0}, [0] * 6),
    ],
)
def test_rounds_go_through_the_epochs(
    name: str, constants: dict[str, Any], epochs: list[int]
) -> None:
    (peer,) = make_peers(name, 1, **constants)
    terms = peer.bench.ledger.terms
    found = [operation_in(peer.payloads[peer.publish().payload_hash], terms) for _ in epochs]
    assert [operation.epoch for operation in found] == epochs
    assert all(operation.step_count == 5 for operation in found)


@DIRECTIONS
def test_steps_become_shorter_where_the_budget_ends(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer, other = make_peers(name, 2, budget=9_000, coefficient_max=9_000, rounds_per_epoch=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            peer.publish()
    peer.integrate()
    assert reasons(other.integrate(peer.said)) == [""]
    assert other.bench.digest() == peer.bench.digest()
    assert len(caplog.records) == 1  # told once
    assert "method.budget" in caplog.text


def test_steps_of_a_second_life_fit_what_the_first_one_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (peer,) = make_peers("seeds", 1, budget=9_000, coefficient_max=9_000)
    for _ in range(4):
        peer.publish()
    peer.integrate()
    peer.bench.exchange.training._told_of_budget = False
    before = peer.bench.ledger.coefficients()[0]
    peer.incarnation, peer.sequence = LIFE - 1, 0
    with caplog.at_level(logging.WARNING):
        again = operation_in(peer.train().payload, peer.bench.ledger.terms).coefficients
    assert int(np.dot(before + again, before + again)) <= 9_000**2
    assert "method.budget" in caplog.text


def test_a_relay_adds_nothing() -> None:
    relay, other = make_peers("projected", 2)
    outcome = relay.train(train=False)
    assert outcome.report == TrainingReport(loss=None, examples=0)
    relay.sign(outcome)
    relay.integrate()
    assert reasons(other.integrate(relay.said)) == [""]
    assert torch.equal(relay.bench.learner.vector(), relay.bench.initial)
    assert other.bench.digest() == relay.bench.digest()


def test_a_liar_moves_what_it_publishes_and_stays_within_the_terms() -> None:
    liar, other = make_peers("seeds", 2, coefficient_max=5_000)
    honest = operation_in(liar.train().payload, liar.bench.ledger.terms).coefficients

    def lies(lie: Any) -> list[int]:
        liar.bench.exchange = replace(liar.bench.exchange, before_publish=lie)
        outcome: TrainingOutcome = liar.train()
        return operation_in(outcome.payload, liar.bench.ledger.terms).coefficients.tolist()

    assert lies(lambda own: -own) == (-honest).tolist()
    wild = lies(lambda own: own * 1e30)
    assert wild == (5_000 * np.sign(honest)).tolist()
    assert not any(lies(lambda own: own * torch.nan))
    liar.publish()
    assert reasons(other.integrate(liar.said)) == [""]


def test_an_operation_beyond_the_budget_ends_the_log_everywhere() -> None:
    liar, first, second = make_peers("seeds", budget=5_000, coefficient_max=5_000)
    terms = first.bench.ledger.terms
    free = SeedLedger(replace(terms, budget=2**22))
    writer, headers = Writer(liar.identity.peer, LIFE), []
    for sequence, value in enumerate((3_000, 3_000, -3_000), start=1):
        coefficients = np.zeros(256, dtype=np.int64)
        coefficients[7] = value
        entry = free.next_operation(writer, 0, 1, coefficients)
        free.apply(writer, sequence, entry)
        headers.append(sign_entry(liar, entry, sequence))
        first.bench.validate(headers[-1], liar.payloads[headers[-1].payload_hash])
    outcome = first.integrate(headers)
    assert reasons(outcome) == [LimitExceeded.kind]
    assert (outcome.verdicts[0].weight, outcome.own_weight) == (0.0, 1.0)
    for header in headers[:2]:
        outcome = second.integrate([header])
    assert reasons(outcome) == [LimitExceeded.kind]
    assert reasons(second.integrate([headers[2]])) == ["gap"]
    assert first.bench.ledger.sequence(writer) == second.bench.ledger.sequence(writer) == 1
    assert first.bench.digest() == second.bench.digest()


def test_an_operation_that_leads_elsewhere_is_refused() -> None:
    liar, other = make_peers("seeds", 2)
    coefficients = np.zeros(256, dtype=np.int64)
    coefficients[3] = 9
    entry = Operation(epoch=0, step_count=1, coefficients=coefficients, digest=bytes(32))
    before = other.bench.digest()
    assert reasons(other.integrate([sign_entry(liar, entry, 1)])) == ["codec"]
    assert other.bench.digest() == before


def test_nothing_of_a_proven_liar_counts() -> None:
    liar, honest, first, second = make_peers("seeds", 4)
    for peer in (liar, honest):
        peer.publish()
        peer.publish()
    first.integrate(liar.said, honest.said)
    frozen = (liar.identity.peer,)
    assert first.integrate(frozen=frozen).verdicts == ()
    outcome = second.integrate(liar.said, honest.said, frozen=frozen)
    assert sorted(reasons(outcome)) == ["", "equivocation"]
    assert outcome.own_weight == 0.5
    assert {writer.author for writer in first.bench.ledger.logs} == {honest.identity.peer}
    assert first.bench.digest() == second.bench.digest()
    assert first.bench.ledger.digest() == second.bench.ledger.digest()


def test_lives_that_do_not_count_any_more_leave_the_ledger() -> None:
    author, other = make_peers("seeds", 2)
    other.integrate([author.publish()])
    assert other.bench.ledger.sequence(Writer(author.identity.peer, LIFE)) == 1
    other.integrate(last_lives=((author.identity.peer, LIFE - 1),))
    assert not other.bench.ledger.logs
    assert torch.equal(other.bench.learner.vector(), other.bench.initial)


# Hostile updates -------------------------------------------------------------------------------


@cache
def reader(name: str = "seeds") -> LedgerPeer:
    """Make a peer that has published an operation and a snapshot."""
    (peer,) = make_peers(name, 1)
    peer.publish()
    peer.publish(needs_full=True)
    return peer


def of_the_run(name: str, payload: bytes, **changes: Any) -> UpdateHeader:
    """Return the header of any bytes as if a peer of the run had signed them."""
    header = structs.replace(reader(name).said[0], payload_hash=content_hash(payload), **changes)
    header = structs.replace(header, payload_bytes=len(payload), incarnation=LIFE - 1, sequence=1)
    reader(name).payloads[header.payload_hash] = payload
    return header


@settings(max_examples=30)
@given(st.binary(max_size=300), st.sampled_from([UpdateKind.OPERATION, UpdateKind.SNAPSHOT]))
def test_any_bytes_are_refused_as_remote(data: bytes, kind: UpdateKind) -> None:
    for payload in (data, encode_payload(data, {})):
        with pytest.raises(RemoteError):
            reader().bench.validate(of_the_run("seeds", payload, kind=kind), payload)


@METHODS
@settings(max_examples=15)
@given(data=st.data())
def test_damaged_updates_are_valid_or_refused_as_remote(name: str, data: st.DataObject) -> None:
    peer = reader(name)
    header = data.draw(st.sampled_from(peer.said))
    payload = bytearray(peer.payloads[header.payload_hash])
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    damaged = of_the_run(name, bytes(payload), kind=header.kind)
    with contextlib.suppress(RemoteError):
        peer.bench.validate(damaged, bytes(payload))
    assert len(peer.integrate([damaged]).verdicts) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": UpdateKind.FULL},
        {"kind": UpdateKind.DIFFERENCE},
        {"method": "projected"},
        {"codec": "float32"},
    ],
)
def test_updates_of_other_runs_are_refused(changes: dict[str, Any]) -> None:
    header = structs.replace(reader().said[0], **changes)
    with pytest.raises(SpecMismatch, match="this run has operation or snapshot/seeds/operation"):
        reader().bench.validate(header, reader().payloads[header.payload_hash])


@METHODS
def test_an_operation_is_no_snapshot(name: str) -> None:
    kinds = (UpdateKind.SNAPSHOT, UpdateKind.OPERATION)
    for header, kind in zip(reader(name).said, kinds, strict=True):
        with pytest.raises(RemoteError):
            reader(name).bench.validate(
                structs.replace(header, kind=kind), reader(name).payloads[header.payload_hash]
            )
