"""Peers that integrate at once get what the integrator of each would give them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import robust
from robust import Reason
from sim.compute.crowd_rule import CrowdRule, measure_lengths
from sim.rounds import RoundsConfig, RoundsResult, crowd
from sim.rounds import running as rounds
from sim.rounds.crowd import Crowd, find_crowds
from sim.rounds.neighborhood import Neighborhood
from sim.rounds.pipeline import Post, make_pipeline

MakeConfig = Callable[..., RoundsConfig]
HONEST, LIARS, SIZE = 5, (5, 6), 100
BY_COORDINATE = ["median", "trimmed-mean"]
RULES = ["mean", *BY_COORDINATE, "nnm+median", "nnm+trimmed-mean"]
# One of each family.
ATTACKS: dict[str, dict[str, Any]] = {
    "alie": {},
    "dissensus": {},
    "inner-product": {"epsilon": 10.0},
    "mimic": {},
    "min-max": {},
    "noise": {},
    "non-finite": {},
    "optimized-alie": {"evaluations": 3},
    "scaling": {"scale": 1e30},
    "sign-flip": {},
    "sleeper": {"first_round": 1},
    "stale": {},
    "stale-copy": {},
    "sybil": {"spread": 0.1},
    "zero": {},
}


def one_by_one(post: Post) -> Any:
    return make_pipeline(post)  # another function: nothing is known of its pipelines


def told(result: RoundsResult) -> dict[str, Any]:
    """Return what may not differ at all, without what is measured or summed otherwise."""
    measured = ("honest_spread", "liar_weight", "result_error")
    return {key: value for key, value in result.to_dict().items() if key not in measured}


def expect_like(result: RoundsResult, expected: RoundsResult) -> None:
    assert result.liar_weight == pytest.approx(expected.liar_weight, rel=1e-6)
    assert result.honest_spread == pytest.approx(expected.honest_spread, rel=1e-5)
    assert result.result_error == pytest.approx(expected.result_error, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rule", BY_COORDINATE)
@pytest.mark.parametrize("topology", ["complete", "line", "peer-sampling"])
def test_rules_by_coordinate_give_the_same_bits(
    make_config: MakeConfig, rule: str, topology: str
) -> None:
    config = make_config(rule=rule, topology=topology, liars=3, attack="sign-flip", rounds=4)
    expected, result = rounds.run(config, pipeline=one_by_one), rounds.run(config)
    assert told(result) == told(expected)
    expect_like(result, expected)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_comes_to_the_same_bits(make_config: MakeConfig, attack: str) -> None:
    fields = {"topology": "k-regular", "topology_params": {"degree": 4}, "liars": 3, "rounds": 4}
    config = make_config(
        rule="trimmed-mean", attack=attack, attack_params=ATTACKS[attack], **fields
    )
    expected, result = rounds.run(config, pipeline=one_by_one), rounds.run(config)
    assert told(result) == told(expected)
    expect_like(result, expected)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mean", "nnm+trimmed-mean"])
@pytest.mark.parametrize("attack", ["none", "alie", "noise", "scaling"])
def test_rules_that_sum_rows_differ_by_rounding(
    make_config: MakeConfig, rule: str, attack: str
) -> None:
    config = make_config(
        rule=rule, liars=2, attack=attack, attack_params=ATTACKS.get(attack, {}), rounds=4
    )
    expected, result = rounds.run(config, pipeline=one_by_one), rounds.run(config)
    assert result.accuracies == pytest.approx(expected.accuracies, abs=0.01)
    assert result.honest_reasons == expected.honest_reasons
    assert result.liar_reasons == expected.liar_reasons
    assert result.liar_weight == pytest.approx(expected.liar_weight, rel=1e-3)
    assert result.consensus_distance == pytest.approx(expected.consensus_distance, rel=1e-3)


@pytest.mark.slow
def test_the_size_of_crowds_changes_nothing(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(rule="median", topology="line", liars=3, attack="noise", rounds=3)
    expected = rounds.run(config)
    monkeypatch.setattr(crowd, "_LIES_BYTES", 1)
    assert rounds.run(config).to_dict() == expected.to_dict()


@pytest.mark.slow
def test_sides_and_names_are_those_of_one_by_one(make_config: MakeConfig) -> None:
    config = make_config(rule="median", liars=3, attack="noise", rounds=2, gossip_steps=2)
    sessions = [rounds.Session(config, make) for make in (make_pipeline, one_by_one)]
    for session, round in zip(sessions * 2, [0, 0, 1, 1], strict=True):
        session.play(round)
    tally, expected = (session.tally for session in sessions)
    assert (tally.used, tally.unused) == (expected.used, expected.unused)
    assert tally.rejections.peers() == expected.rejections.peers()
    assert tally.kept == expected.kept


def make_places() -> list[Neighborhood]:
    """Return neighborhoods of five honest peers that all hear each other and two liars."""
    weights = {number: (number + 1) / 35 for number in range(HONEST + len(LIARS))}
    return [
        Neighborhood(
            peer=peer,
            honest=tuple(it for it in range(HONEST) if it != peer),
            liars=LIARS,
            weights={number: it for number, it in weights.items() if number != peer},
        )
        for peer in range(HONEST)
    ]


def draw_rows(seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(HONEST + len(LIARS), SIZE, generator=generator)


Found = tuple[Tensor, dict[int, tuple[Reason, float]]]


def integrated(rule: str, rows: Tensor, lies: Mapping[int, Tensor]) -> dict[int, Found]:
    """Return by peer its next row, and reason and share of each neighbor's."""
    made = Crowd(make_places(), rule=CrowdRule(rule=rule, beta_max=0.3, norm_cap_ratio=3.0))
    found: dict[int, Found] = {}
    for block in made.integrate(rows, measure_lengths(rows), [lies] * HONEST):
        assert block.verdicts is not None
        for place, peer in enumerate(block.numbers[0].tolist()):
            said = {}
            for row, number in enumerate(block.numbers[1:, place].tolist(), start=1):
                given_reasons = block.verdicts.reasons.items()
                (reason,) = (it for it, is_given in given_reasons if is_given[row, place])
                said[number] = reason, float(block.verdicts.shares[row, place])
            found[peer] = block.vectors[place], said
    return found


def integrate_alone(rule: str, rows: Tensor, lies: Mapping[int, Tensor], peer: int) -> Found:
    sent = {number: rows[number] for number in range(HONEST) if number != peer} | dict(lies)
    weights = make_places()[peer].weights
    found = robust.Integrator(rule).integrate(
        rows[peer],
        [robust.Row(bytes([1, number]), row, weights[number]) for number, row in sent.items()],
    )
    assert all(isinstance(it.peer, bytes) for it in found.verdicts)
    return found.vector, {int(it.peer[-1]): (it.reason, it.weight) for it in found.verdicts}


def expect_integrators(rule: str, rows: Tensor, lies: Mapping[int, Tensor]) -> list[int]:
    """Compare with each peer's integrator; return who is left to it."""
    found = integrated(rule, rows, lies)
    for peer, (vector, said) in found.items():
        expected, verdicts = integrate_alone(rule, rows, lies, peer)
        if rule in BY_COORDINATE:
            assert torch.equal(vector, expected)
        else:
            torch.testing.assert_close(vector, expected, rtol=1e-5, atol=1e-5)
        assert {number: reason for number, (reason, _) in said.items()} == {
            number: reason for number, (reason, _) in verdicts.items()
        }
        for number, (_, share) in said.items():
            assert share == pytest.approx(verdicts[number][1], abs=1e-6)
    return [peer for peer in range(HONEST) if peer not in found]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("scales", "reasons"),
    [
        ((1.0, -1.0), {"accepted"}),
        ((1.0, 10.0), {"accepted", "norm-cap"}),
        ((1e30, -10.0), {"norm-cap"}),
        ((float("nan"), 0.5), {"accepted", "not-finite"}),
        ((float("inf"), 1e30), {"not-finite", "norm-cap"}),
    ],
)
def test_each_vector_and_verdict_is_the_integrators(
    rule: str, scales: tuple[float, float], reasons: set[str]
) -> None:
    rows = draw_rows()
    lies = {number: rows[number] * scale for number, scale in zip(LIARS, scales, strict=True)}
    assert expect_integrators(rule, rows, lies) == []
    found = integrated(rule, rows, lies)[0][1]
    assert {str(found[number][0]) for number in LIARS} == reasons


@pytest.mark.parametrize("rule", ["mean", *BY_COORDINATE])
@settings(max_examples=40, deadline=None)
@given(
    scales=st.lists(
        st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 2.9, 3.0, 3.1, 1e19, 1e38, float("nan")]),
        min_size=2,
        max_size=2,
    ),
    copied=st.lists(st.integers(0, 6), min_size=2, max_size=2),
    honest_scale=st.sampled_from([0.0, 1e-25, 1.0, 1e17, 1e30]),
    seed=st.integers(0, 99),
)
def test_no_lie_is_taken_for_what_it_is_not(
    rule: str, scales: list[float], copied: Sequence[int], honest_scale: float, seed: int
) -> None:
    rows = draw_rows(seed)
    lies = {
        number: rows[row] * scale for number, row, scale in zip(LIARS, copied, scales, strict=True)
    }
    expect_integrators(rule, rows * honest_scale, lies)


def test_a_row_of_which_nothing_is_taken_is_not_chosen() -> None:
    rows = draw_rows()
    lies = {5: rows.amax(dim=0) + 0.01, 6: rows[6]}  # the largest everywhere, and not too long
    assert expect_integrators("trimmed-mean", rows, lies) == []
    for _, said in integrated("trimmed-mean", rows, lies).values():
        assert said[5] == (Reason.NOT_CHOSEN, 0.0)


def test_rows_of_zeros_set_no_scale() -> None:
    rows = torch.zeros(HONEST + len(LIARS), SIZE)
    assert expect_integrators("median", rows, {5: rows[0], 6: rows[0]}) == []
    assert expect_integrators("median", rows, {5: rows[0], 6: rows[0] + 1.0}) == [0, 1, 2, 3, 4]


def test_whoever_has_a_row_at_the_cap_is_left_to_the_integrator() -> None:
    rows = draw_rows()
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    assert integrated("median", rows, {5: rows[5] * 3.00001, 6: rows[6]}) == {}


@pytest.mark.parametrize("rule", RULES)
def test_honest_rows_alone_are_all_used(rule: str) -> None:
    rows, places = draw_rows(), [replace(it, liars=()) for it in make_places()]
    made = Crowd(places, rule=CrowdRule(rule=rule, beta_max=0.3, norm_cap_ratio=3.0))
    blocks = list(made.integrate(rows, measure_lengths(rows), []))
    assert sorted(it for block in blocks for it in block.numbers[0].tolist()) == [*range(HONEST)]
    for block in blocks:
        assert block.liar_weights() == []
        accepted = dict((reason, honest) for reason, honest, _ in block.reasons())[Reason.ACCEPTED]
        for peer, vector in zip(block.numbers[0].tolist(), block.vectors, strict=True):
            expected, verdicts = integrate_alone(rule, rows, {}, peer)
            torch.testing.assert_close(vector, expected, rtol=1e-5, atol=1e-5)
            assert {str(reason) for reason, _ in verdicts.values()} == {"accepted"}
        assert len(accepted) == (HONEST - 1) * len(block.vectors)


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "krum"},
        {"compute": "sequential"},
        {"integrator": {"gamma": 0.5}},
        {"reputation": robust.ReputationPolicy()},
        {"loss_gate": robust.LossGatePolicy()},
    ],
    ids=lambda it: next(iter(it)),
)
def test_what_needs_more_than_rows_is_no_crowd(
    make_config: MakeConfig, fields: dict[str, Any]
) -> None:
    config = make_config(rule="mean")
    places = rounds.Session(config, make_pipeline).meetings.next().places
    assert find_crowds(config, places, size=1)
    assert not find_crowds(replace(config, **fields), places, size=1)


def test_long_rows_are_left_to_the_integrator(make_config: MakeConfig) -> None:
    config = make_config(rule="mean")  # of ten peers that all hear each other
    places = rounds.Session(config, make_pipeline).meetings.next().places
    longest = crowd.BLOCK_BYTES // (2 * 10 * 4)
    assert find_crowds(config, places, size=longest)
    assert not find_crowds(config, places, size=longest + 1)
