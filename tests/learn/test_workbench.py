"""The workbench: the core's jobs, done exactly, repeatably, and against hostile rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import robust
from p2pfed.core.events import NOT_READ, OffenceKind, Verdict
from p2pfed.errors import ConfigError, LocalError, RemoteError, SchemaError, SpecMismatch
from p2pfed.identity import PeerId
from p2pfed.learn.decoded import DecodeCache
from p2pfed.learn.jobs import never
from p2pfed.learn.learner import JobCancelled
from p2pfed.learn.scoring import Scoring
from p2pfed.learn.workbench import Exchange, Workbench
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import BFloat16, Float32, Int8
from p2pfed.wire.payload import decode_payload, encode_payload
from tests.learn.peers import (
    MEAN,
    integration,
    make_bench,
    make_header,
    make_learner,
    make_peer,
    training,
)

SIZE = 64 * 32 + 32 + 32 * 10 + 10
NOBODY: dict[PeerId, UpdateHeader] = {}


def no_payloads(content_hash: bytes) -> bytes:
    raise AssertionError(f"nobody has {content_hash.hex()}")


class Neighbors:
    """Neighbors of a bench that have trained once, and their updates."""

    def __init__(self, count: int, *, codec: Codec | None = None, hostile: int = 0) -> None:
        self.benches: dict[PeerId, Workbench] = {}
        self.headers: dict[PeerId, UpdateHeader] = {}
        self.payloads: dict[bytes, bytes] = {}
        for index in range(1, count + 1):
            scale = -10.0 if index <= hostile else 1.0
            bench = make_bench(
                f"n{index}", codec=codec, before_publish=lambda it, scale=scale: scale * it
            )
            payload = bench.train(training()).payload
            name = bench.exchange.codec.name
            header = make_header(payload, author=index, codec=name)
            self.benches[header.author] = bench
            self.headers[header.author] = header
            self.payloads[header.payload_hash] = payload


def test_training_publishes_the_difference_and_claims() -> None:
    bench = make_bench()
    outcome = bench.train(training(degree=7))
    payload, report = outcome.payload, outcome.report
    sections = decode_payload(payload, section_bytes_max={"main": 4 * SIZE})
    assert sections.claims == {"examples": bench.learner.example_count, "degree": 7}
    difference = Float32().decode(sections.main, SIZE)
    assert torch.equal(difference, bench.learner.vector() - bench.initial)
    assert report.examples == 3 * 16
    assert report.loss is not None


def test_an_uncompressed_payload_costs_a_hundredth_more_than_the_values() -> None:
    payload = make_bench().train(training()).payload
    assert len(payload) <= 1.01 * 4 * SIZE


def test_a_relay_only_encodes() -> None:
    bench = make_bench()
    outcome = bench.train(training(train=False))
    payload, report = outcome.payload, outcome.report
    assert report.loss is None
    assert report.examples == 0
    assert torch.equal(bench.learner.vector(), bench.initial)
    bench.validate(make_header(payload), payload)


def test_a_cancelled_training_leaves_no_trace() -> None:
    bench = make_bench()
    before = bench.save()
    with pytest.raises(JobCancelled):
        bench.train(training(), lambda: True)
    assert bench.save() == before


def test_saving_and_loading_changes_nothing() -> None:
    neighbors = Neighbors(2)
    bench, restored = make_bench(), make_bench()
    bench.train(training(0))
    restored.load(bench.save())
    payloads = []
    for each in (bench, restored):
        each.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
        payloads.append(each.train(training(1)).payload)
    assert payloads[0] == payloads[1]
    assert bench.digest() == restored.digest()
    assert bench.save() == restored.save()


@pytest.mark.parametrize("data", [b"", b"garbage", bytes(100)])
def test_a_broken_save_is_named(data: bytes) -> None:
    with pytest.raises(LocalError):
        make_bench().load(data)


@pytest.mark.parametrize("codec", [Float32(), BFloat16(), Int8(block=64)], ids=repr)
def test_integration_is_the_weighted_mean_of_what_was_published(codec: Codec) -> None:
    neighbors = Neighbors(2, codec=codec)
    bench = make_bench(codec=codec)
    bench.train(training())
    own = (bench.learner.vector() - bench.initial).double()
    differences = [
        neighbor.learner.vector() - neighbor.initial for neighbor in neighbors.benches.values()
    ]
    # Degrees 2 and 2, so a third each.
    expected = (own + sum(each.double() for each in differences)) / 3
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    found = (bench.learner.vector() - bench.initial).double()
    tolerance = sum(codec.error_max(each) for each in differences) / 3 + 1e-6
    assert bool(((found - expected).abs() <= tolerance).all())
    assert [verdict.peer for verdict in outcome.verdicts] == [make_peer(1), make_peer(2)]
    assert all(verdict.weight == pytest.approx(1 / 3) for verdict in outcome.verdicts)
    assert all(verdict.reason == "" for verdict in outcome.verdicts)
    assert outcome.own_weight == pytest.approx(1 / 3)
    assert outcome.note == ""
    assert outcome.evaluation is None


def test_evaluation_as_far_as_asked_for() -> None:
    bench = make_bench()
    evaluation = bench.integrate(integration(NOBODY, evaluate=True), no_payloads).evaluation
    assert evaluation is not None
    assert evaluation.test_score is None
    score, loss = bench.learner.evaluate("validation", should_stop=lambda: False)
    assert (evaluation.score, evaluation.loss) == (score, loss)
    evaluation = bench.integrate(integration(NOBODY, test=True), no_payloads).evaluation
    assert evaluation is not None
    assert evaluation.test_score == bench.learner.evaluate("test", should_stop=lambda: False)[0]


def test_nothing_to_integrate_changes_nothing() -> None:
    bench = make_bench()
    bench.train(training())
    before = bench.save()
    outcome = bench.integrate(integration(NOBODY), no_payloads)
    assert (outcome.verdicts, outcome.own_weight, outcome.note) == ((), 1.0, "")
    assert bench.save() == before


def test_a_cancelled_evaluation_undoes_the_integration() -> None:
    neighbors = Neighbors(2)
    bench = make_bench()
    before = bench.save()
    effect = integration(neighbors.headers, evaluate=True)
    with pytest.raises(JobCancelled):
        bench.integrate(effect, neighbors.payloads.__getitem__, lambda: True)
    assert bench.save() == before


@pytest.mark.parametrize("batches", [0, 1, 5])  # of four for each of two models
def test_a_cancelled_scoring_of_neighbors_leaves_no_trace(batches: int) -> None:
    neighbors = Neighbors(2)
    learner = make_learner()
    scoring = Scoring(learner=learner, initial=learner.vector())
    integrator = robust.Integrator("ubar", evaluate=scoring)
    bench = Workbench(learner, Exchange(method="full", codec=Float32(), integrator=integrator))
    before = bench.save()
    answers = iter([False] * batches)
    with pytest.raises(JobCancelled, match="validation"):
        bench.integrate(
            integration(neighbors.headers),
            neighbors.payloads.__getitem__,
            lambda: next(answers, True),
        )
    assert bench.save() == before


@pytest.mark.parametrize("rule", ["trimmed-mean", "median", "self-centered-clipping"])
def test_a_hostile_row_gets_no_weight(rule: str) -> None:
    neighbors = Neighbors(4, hostile=1)
    bench = make_bench(integrator=robust.Integrator(rule))
    bench.train(training())
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    hostile, *honest = outcome.verdicts
    assert hostile == Verdict(peer=make_peer(1), weight=0.0, reason="norm-cap")
    assert sum(verdict.weight for verdict in honest) + outcome.own_weight == pytest.approx(1.0)
    assert all(verdict.reason == "" for verdict in honest)


def test_rows_that_a_rule_does_not_choose_are_told_from_the_one_used() -> None:
    neighbors = Neighbors(4)
    bench = make_bench(integrator=robust.Integrator("krum", norm_cap_ratio=None))
    bench.train(training())
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert {(it.weight, it.reason) for it in outcome.verdicts} <= {(1.0, ""), (0.0, "not-chosen")}
    assert [it.reason for it in outcome.verdicts].count("not-chosen") >= 3


def test_without_a_cap_the_mean_follows_a_hostile_row() -> None:
    neighbors = Neighbors(3, hostile=1)
    bench = make_bench(integrator=MEAN)
    bench.train(training())
    own = bench.learner.vector() - bench.initial
    bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert float((bench.learner.vector() - bench.initial) @ own) < 0


def test_too_few_rows_keep_the_own_vector_and_say_so() -> None:
    neighbors = Neighbors(1)
    bench = make_bench(
        integrator=robust.Integrator(robust.create("trimmed-mean", byzantine_count=1))
    )
    bench.train(training())
    before = bench.digest()
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert bench.digest() == before
    assert outcome.own_weight == 1.0
    assert "rows" in outcome.note
    assert outcome.verdicts[0].reason == "not-integrated"


def test_order_of_arrival_makes_no_difference() -> None:
    neighbors = Neighbors(3)
    digests = set()
    for order in (1, -1):
        bench = make_bench()
        bench.train(training())
        effect = integration(neighbors.headers)
        outcome = bench.integrate(
            structs.replace(effect, rows=effect.rows[::order]), neighbors.payloads.__getitem__
        )
        assert [it.peer for it in outcome.verdicts] == [row.peer for row in effect.rows[::order]]
        digests.add(bench.digest())
    assert len(digests) == 1


def test_a_shared_cache_decodes_once() -> None:
    neighbors = Neighbors(2)
    cache = DecodeCache()
    first, second = make_bench("a", cache=cache), make_bench("a", cache=cache)
    for header in neighbors.headers.values():
        first.validate(header, neighbors.payloads[header.payload_hash])
    second.integrate(integration(neighbors.headers), no_payloads)
    plain = make_bench("a")
    plain.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert second.digest() == plain.digest()


def test_a_row_that_cannot_be_decoded_is_left_out() -> None:
    neighbors = Neighbors(2)
    broken = neighbors.headers[make_peer(1)]
    neighbors.payloads[broken.payload_hash] = b"garbage"
    bench = make_bench()
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert outcome.verdicts[0] == Verdict(
        peer=make_peer(1), weight=0.0, reason="frame", offence=OffenceKind.FRAME
    )
    assert outcome.verdicts[1].weight > 0
    only = integration({make_peer(1): broken})
    assert bench.integrate(only, neighbors.payloads.__getitem__).own_weight == 1.0


def test_a_row_at_which_a_decoder_breaks_down_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> torch.Tensor:
        raise ValueError("of a third party")

    neighbors = Neighbors(2)
    bench = make_bench()
    monkeypatch.setattr(type(bench.exchange.codec), "decode", break_down)
    outcome = bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    assert [verdict.reason for verdict in outcome.verdicts] == [NOT_READ] * 2
    assert {verdict.offence for verdict in outcome.verdicts} == {None}
    assert outcome.own_weight == 1.0


@pytest.mark.parametrize(
    "changes", [{"method": "lora"}, {"codec": "int8"}, {"kind": UpdateKind.DIFFERENCE}]
)
def test_updates_of_another_kind_are_refused(changes: dict[str, object]) -> None:
    bench = make_bench()
    payload = bench.train(training()).payload
    header = structs.replace(make_header(payload), **changes)  # type: ignore[arg-type]
    with pytest.raises(SpecMismatch, match="this run has"):
        bench.validate(header, payload)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"examples": 3},
        {"examples": -1, "degree": 2},
        {"examples": 3, "degree": 2.0},
        {"examples": True, "degree": 2},
    ],
)
def test_claims_are_counts(claims: dict[str, int | float | bool]) -> None:
    payload = encode_payload(Float32().encode(torch.zeros(SIZE)), claims)
    with pytest.raises(SchemaError, match="no counts"):
        make_bench().validate(make_header(payload), payload)


def test_claims_of_newer_versions_are_ignored() -> None:
    claims = {"examples": 3, "degree": 2, "tau": 1.5}
    payload = encode_payload(Float32().encode(torch.zeros(SIZE)), claims)
    make_bench().validate(make_header(payload), payload)


def test_sizes_and_values_are_checked() -> None:
    bench = make_bench()
    claims = {"examples": 3, "degree": 2}
    values = np.zeros(SIZE, dtype="<f4")
    values[5] = np.inf
    for main in (bytes(4 * SIZE - 4), bytes(4 * SIZE + 4), values.tobytes()):
        payload = encode_payload(main, claims)
        with pytest.raises(RemoteError):
            bench.validate(make_header(payload), payload)


@settings(max_examples=200)
@given(data=st.binary(max_size=200), kept=st.integers(0, 200))
def test_any_payload_is_valid_or_a_remote_error(data: bytes, kept: int) -> None:
    codec = BFloat16()
    real = encode_payload(codec.encode(torch.ones(SIZE)), {"examples": 3, "degree": 2})
    payload = real[:kept] + data
    try:
        FUZZED.validate(make_header(payload, codec="bfloat16"), payload)
    except RemoteError:
        return
    assert payload == real


FUZZED = make_bench(codec=BFloat16())


def test_an_unknown_mixing_is_named() -> None:
    with pytest.raises(ConfigError, match="metropolis"):
        Exchange(method="full", codec=Float32(), integrator=MEAN, mixing="mean")


@pytest.mark.parametrize(
    ("mixing", "degree_max"),
    [("max-degree", None), ("max-degree", 0), ("max-degree", True), ("metropolis", 4)],
    ids=str,
)
def test_the_most_neighbors_go_with_max_degree_alone(mixing: str, degree_max: int | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Exchange(
            method="full", codec=Float32(), integrator=MEAN, mixing=mixing, degree_max=degree_max
        )
    assert (caught.value.field, caught.value.value) == ("degree_max", degree_max)


def test_gossip_makes_peers_agree_and_keeps_their_mean() -> None:
    # A ring of four, whose Metropolis weights are a third each.
    benches = [make_bench(f"p{index}") for index in range(4)]
    for bench in benches:
        bench.train(training())
    mean = torch.stack([bench.learner.vector() for bench in benches]).mean(dim=0)
    spread = [float((bench.learner.vector() - mean).norm()) for bench in benches]
    for round in range(8):
        payloads = [bench.train(training(round, train=False)).payload for bench in benches]
        headers = [make_header(payload, author=i) for i, payload in enumerate(payloads)]
        store = {h.payload_hash: p for h, p in zip(headers, payloads, strict=True)}
        for index, bench in enumerate(benches):
            beside = {make_peer(j % 4): headers[j % 4] for j in (index - 1, index + 1)}
            bench.integrate(integration(beside), store.__getitem__)
    for bench, before in zip(benches, spread, strict=True):
        # The ring's second largest eigenvalue is 1/3: 3^-8 is 1.5e-4.
        assert float((bench.learner.vector() - mean).norm()) < 1e-3 * before


@pytest.mark.parametrize("gamma", [1.0, 0.25])
def test_a_method_corrects_with_the_shares_that_made_the_mixture(gamma: float) -> None:
    neighbors = Neighbors(2)
    given: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def correct(rows: torch.Tensor, shares: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        given.append((rows, shares, mixed))
        return mixed + 1.0

    own = make_bench(integrator=replace(MEAN, gamma=gamma))
    bench = Workbench(own.learner, replace(own.exchange, correct=correct))
    own_vector = bench.learner.vector()
    bench.integrate(integration(neighbors.headers), neighbors.payloads.__getitem__)
    ((rows, shares, mixed),) = given
    assert torch.equal(rows[0], own_vector)
    assert float(shares.sum()) == pytest.approx(1.0)
    torch.testing.assert_close((shares.float() @ rows), mixed, atol=1e-6, rtol=1e-5)
    assert torch.equal(bench.learner.vector(), mixed + 1.0)


def test_nothing_is_corrected_where_nothing_was_integrated() -> None:
    def correct(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing was mixed")

    own = make_bench()
    bench = Workbench(own.learner, replace(own.exchange, correct=correct))
    before = bench.learner.vector()
    bench.integrate(integration(NOBODY), no_payloads)
    assert torch.equal(bench.learner.vector(), before)


def test_an_integrator_is_made_anew_only_for_who_may_want_to_stop() -> None:
    learner = make_learner()
    scoring = Scoring(learner=learner, initial=learner.vector())
    integrator = robust.Integrator("mean", evaluate=scoring)
    bench = Workbench(learner, Exchange(method="full", codec=Float32(), integrator=integrator))
    assert bench._integrator(never) is integrator
    asked = bench._integrator(lambda: True).evaluate
    assert isinstance(asked, Scoring)
    assert asked.should_stop()
