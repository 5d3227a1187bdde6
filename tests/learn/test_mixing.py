"""Mixing weights: what honest claims give, and how little lies gain."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topologies
from p2pfed.learn.decoded import DecodeCache, DecodedUpdate
from p2pfed.learn.mixing import (
    MAX_DEGREE,
    MIXINGS,
    Claim,
    by_examples,
    is_weighing,
    lazy,
    max_degree,
    metropolis,
    row_weights,
    uniform,
)
from p2pfed.messages import UpdateKind
from tests.learn.peers import make_examples, make_header, other_header
from tests.robust_rules import Known, every

claims = st.builds(Claim, examples=st.integers(0, 2**53 - 1), degree=st.integers(0, 2**53 - 1))
mixings = pytest.mark.parametrize("mixing", MIXINGS.values())


def claim(examples: int = 1, degree: int = 1) -> Claim:
    return Claim(examples=examples, degree=degree)


@mixings
@given(own=claims, others=st.lists(claims, max_size=8))
def test_weights_leave_a_share_for_the_own_row(
    mixing: object, own: Claim, others: list[Claim]
) -> None:
    assert callable(mixing)
    weights = mixing(own, others)
    assert len(weights) == len(others)
    assert all(0.0 <= weight <= 1.0 for weight in weights)
    assert sum(weights) <= 1.0 + 1e-12


def test_metropolis_is_symmetric_and_leaves_the_rest() -> None:
    assert metropolis(claim(degree=2), [claim(degree=3), claim(degree=1)]) == [1 / 4, 1 / 3]
    assert metropolis(claim(degree=3), [claim(degree=2)]) == [1 / 4]


def test_lazy_weights_are_half_of_metropolis() -> None:
    assert lazy(claim(degree=2), [claim(degree=3), claim(degree=1)]) == [1 / 8, 1 / 6]


@pytest.mark.parametrize("kind", ["lazy", MAX_DEGREE])
def test_what_peers_reckon_by_themselves_is_the_matrix_of_the_graph(kind: str) -> None:
    net = topologies.create("star", nodes=6)
    claims = [claim(degree=len(net.neighbors(number))) for number in range(6)]
    matrix = net.mixing_matrix(kind)
    for number, own in enumerate(claims):
        heard = net.neighbors(number)
        others = [claims[other] for other in heard]
        weights = row_weights(kind, own, others, [1.0] * len(heard), degree_max=5)
        assert weights == pytest.approx([matrix[number, other] for other in heard])


def test_more_neighbors_than_the_most_still_leave_something() -> None:
    rows = [claim(degree=2)] * 3
    assert max_degree(claim(degree=3), rows, degree_max=2) == [1 / 4] * 3
    assert max_degree(claim(degree=1), rows, degree_max=1) == [1 / 4] * 3


@given(lie=claims)
def test_no_claim_gains_a_lazy_or_equal_share(lie: Claim) -> None:
    honest = claim(degree=4)
    assert lazy(honest, [lie])[0] <= 1 / 10
    assert max_degree(honest, [lie], degree_max=4) == [1 / 5]


def test_a_liar_gains_no_more_than_its_share() -> None:
    honest = claim(examples=100, degree=4)
    for lie in (0, 2**53 - 1):
        liar = claim(examples=lie, degree=lie)
        assert metropolis(honest, [liar])[0] <= 1 / 5
        assert by_examples(honest, [honest, honest, liar])[2] <= 2 / 5
    assert by_examples(honest, [honest, honest, claim(examples=10**9)])[:2] == [1 / 5, 1 / 5]


def test_more_rows_than_neighbors_still_leave_something() -> None:
    weights = metropolis(claim(degree=1), [claim(degree=1)] * 4)
    assert weights == [1 / 5] * 4


def test_uniform_and_empty_examples() -> None:
    assert uniform(claim(), [claim()] * 3) == [1 / 4] * 3
    assert by_examples(claim(0), [claim(0)]) == [1 / 2]
    assert by_examples(claim(100), [claim(300)]) == [300 / 400]


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    inputs = make_examples(16).inputs
    vector = inputs.view(-1)  # type: ignore[union-attr]  # 64 values, 256 bytes
    updates = [DecodedUpdate(difference=vector, claim=claim(index)) for index in range(4)]
    headers = [make_header(bytes([index])) for index in range(4)]
    cache = DecodeCache(bytes_max=3 * 256)
    for index in range(3):
        cache.put(headers[index], updates[index])
    assert cache.get(headers[0]) is updates[0]
    cache.put(headers[0], updates[1])  # known already: the first stays
    cache.put(headers[3], updates[3])
    assert cache.get(headers[1]) is None
    assert [cache.get(headers[index]) for index in (0, 2, 3)] == [
        updates[0],
        updates[2],
        updates[3],
    ]
    nothing = DecodeCache(bytes_max=0)
    nothing.put(headers[0], updates[0])
    assert nothing.get(headers[0]) is None


def test_the_same_bytes_may_be_a_whole_and_a_difference() -> None:
    header = make_header(b"bytes")
    cache = DecodeCache()
    cache.put(header, DecodedUpdate(difference=make_examples(16).inputs, claim=claim()))
    assert cache.get(other_header(header, kind=UpdateKind.DIFFERENCE)) is None


@pytest.mark.parametrize("known", [it for it in every() if "+" not in it.values[0].name])
def test_rules_that_weigh_rows_are_known_by_name(known: Known) -> None:
    case = known.example(7, 3, byzantine_count=1)
    rule, alike = known.make(case), torch.full((7,), 1.0 / 7.0, dtype=torch.float64)
    results = [
        rule(case.vectors, own=case.own, keys=case.keys, weights=weights)
        for weights in (alike, case.weights())
    ]
    assert torch.equal(*results) == (not is_weighing(known.name))


def test_pre_aggregations_that_mix_rows_leave_nothing_to_weigh() -> None:
    rules = ["mean", "clipping+mean", "arc+mean", "nnm+mean", "bucketing+mean"]
    assert [it for it in rules if is_weighing(it)] == rules[:3]


def test_a_row_counts_the_part_of_its_mixing_weight_that_it_is_worth() -> None:
    rows = [claim(degree=3), claim(degree=1)]
    assert row_weights("metropolis", claim(degree=2), rows, [1.0, 0.5]) == [1 / 4, 1 / 6]


def test_rows_that_count_more_than_their_weight_leave_the_own_row_its_share() -> None:
    own, rows = claim(degree=3), [claim(degree=3)] * 3
    assert row_weights("metropolis", own, rows, [2.5, 0.0, 0.0]) == [2.5 / 4.0, 0.0, 0.0]
    weights = row_weights("metropolis", own, rows, [2.5, 2.5, 1.0])
    assert sum(weights) == pytest.approx(3.0 / 4.0)
    assert weights[0] == weights[1] == pytest.approx(2.5 * weights[2])


@pytest.mark.parametrize(
    ("mixing", "degrees", "own_share"),
    [
        ("lazy", [4] * 4, 0.6),
        ("lazy", [4] * 2, 0.6),  # the two that are away are taken to be like these
        ("metropolis", [19] * 4, 0.8),
        ("metropolis", [4] * 4, 0.2),
        ("max-degree", [4] * 4, 0.6),
        ("uniform", [4], 0.2),  # half of one row and the own one, a fifth of all
        ("examples", [4] * 4, 0.2),
    ],
)
def test_rare_rows_leave_the_own_row_the_share_that_its_mixing_gives_it(
    mixing: str, degrees: list[int], own_share: float
) -> None:
    rows = [claim(degree=it) for it in degrees]
    weights = row_weights(mixing, claim(degree=4), rows, [5.0] * len(rows), degree_max=9)
    assert 1.0 - sum(weights) == pytest.approx(own_share)
