"""How scores become weights: every figure of the published program that was worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import robust
from robust.bristle.weights import certainty, influence, score, weigh

F1 = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("own", "peer", "printed_score", "printed_influence"),
    [
        # D = 10 |peer - own|: D^(3 + own) if the peer is better, or else -D^(4 + own).
        (0.9, 0.9, "0", "1.000000"),
        (0.9, 0.95, ".0670", "1.001675"),  # 0.5^3.9
        (0.9, 0.8, "-1", ".975000"),  # -1^4.9, and 10 sigmoid(-0.01) - 4
        (0.9, 0.7, "-29.8571", ".259070"),  # -2^4.9
        (0.0, 1.0, "1000", "5.999546"),  # 10^3
        (0.9, 0.65, "-89.106", "0"),  # -2.5^4.9
        (0.5, 0.7, "11.3137", "1.282541"),  # 2^3.5
        (0.5, 0.3, "-22.6274", ".436716"),  # -2^4.5
        (0.2, 0.9, "506.190", "5.937064"),  # 7^3.2
        (0.0, 0.0, "0", "1.0"),
    ],
)
def test_influence_of_one_class(
    own: float, peer: float, printed_score: str, printed_influence: str
) -> None:
    found = score(own, peer)
    assert as_printed(found, printed_score) == float(printed_score)
    assert as_printed(influence(found), printed_influence) == float(printed_influence)


def as_printed(value: float, printed: str) -> float:
    """Round a value to as many digits as are printed."""
    return round(value, len(printed.partition(".")[2]))


@pytest.mark.parametrize(("own", "gap"), [(0.9, 0.2129), (0.5, 0.2277), (0.0, 0.2523)])
def test_gap_from_which_a_peer_counts_nothing(own: float, gap: float) -> None:
    # The influence is 0 from -100 ln(1.5) on: a gap of 0.1 * 40.547^(1 / (4 + own)).
    threshold = -100.0 * math.log(1.5)
    assert threshold == pytest.approx(-40.547, abs=5e-4)
    assert influence(threshold - 1e-9) == 0.0
    assert influence(threshold + 1e-3) > 0.0
    assert 0.1 * (-threshold) ** (1 / (4 + own)) == pytest.approx(gap, abs=5e-5)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.9, 0.8, 1.0], 0.81835),  # mean 0.9, deviation sqrt(0.02 / 3) = 0.08165
        ([0.9, 0.0, 0.9], 0.17574),  # 0.6 - sqrt(0.54 / 3) = 0.6 - 0.42426
        ([0.0, 0.0, 1.0], 0.0),  # 1/3 - sqrt(2) / 3 is negative
        ([0.7], 0.7),
        ([], 0.0),
    ],
)
def test_certainty(scores: list[float], expected: float) -> None:
    assert certainty(scores) == pytest.approx(expected, abs=5e-6)


def test_deviation_is_that_of_the_population() -> None:
    # That of a sample would be 0.1, and the certainty 0.8.
    assert certainty([0.9, 0.8, 1.0]) != pytest.approx(0.8, abs=1e-3)


def test_a_peer_speaks_on_its_best_classes_only() -> None:
    # phi = 2 of 4: classes 1 and 3 with F1 0.9 and 0.7, own 0.5 and 0.7. Certainty 0.8 - 0.1.
    weights = weigh([0.9, 0.5, 0.9, 0.7], [0.1, 0.9, 0.6, 0.7], overlap=2)
    better = 4.0**3.5  # 128
    expected = [0.0, influence(better) * 0.7, 0.0, 0.7]
    assert weights.familiar == pytest.approx(expected)
    assert weights.foreign == pytest.approx(influence(better) * 0.7)


def test_scores_of_foreign_classes_have_no_lower_bound() -> None:
    # 0.9 to 0.1 is -8^4.9 = -26,616, which 0 to 1 (+1000) cannot make up; bounded, they could.
    weights = weigh([0.9, 0.0], [0.1, 1.0], overlap=2)
    assert weights.foreign == 0.0
    assert weights.familiar[1] > 0.0


@pytest.mark.parametrize("overlap", [4, 9, None])
def test_a_peer_of_all_the_own_classes_speaks_on_the_familiar_ones(overlap: int | None) -> None:
    # A trap: to take the lowest class numbers then, familiar or not. Each score has its own place.
    own, peer = [0.5, 0.6, 0.7, 0.8], [0.8, 0.8, 0.8, 0.8]
    weights = weigh(own, peer, overlap=overlap)
    assert weights.familiar == pytest.approx([influence(score(o, 0.8)) * 0.8 for o in own])


def test_three_classes_by_default() -> None:
    weights = weigh([0.5] * 5, [0.9, 0.8, 0.7, 0.6, 0.5])
    assert [weight > 0.0 for weight in weights.familiar] == [True, True, True, False, False]


def test_of_equal_classes_the_first_are_spoken_on() -> None:
    weights = weigh([0.5] * 4, [0.8] * 4, overlap=2)
    assert [weight > 0.0 for weight in weights.familiar] == [True, True, False, False]


def test_peer_without_a_shared_class_counts_nothing() -> None:
    weights = weigh([0.5, 0.5], [1.0, 1.0], overlap=0)
    assert weights.familiar == (0.0, 0.0)
    assert weights.foreign == 0.0


def test_strict_form_counts_better_classes_only() -> None:
    # 2^3 = 8 where the peer is better; equal counts nothing, and foreign needs all to be better.
    weights = weigh([0.5, 0.7], [0.7, 0.7], overlap=2, is_strict=True)
    assert score(0.5, 0.7, is_strict=True) == pytest.approx(8.0)
    assert weights.familiar == pytest.approx([influence(8.0) * 0.7, 0.0])
    assert weights.foreign == 0.0


@pytest.mark.parametrize("value", [1e308, -1e308, math.inf, -math.inf])
def test_enormous_scores_overflow_nothing(value: float) -> None:
    assert influence(value) == pytest.approx(6.0 if value > 0 else 0.0)


@given(own=st.lists(F1, min_size=1, max_size=8), data=st.data(), overlap=st.integers(0, 9))
def test_weights_are_bounded(own: list[float], data: st.DataObject, overlap: int) -> None:
    peer = data.draw(st.lists(F1, min_size=len(own), max_size=len(own)))
    weights = weigh(own, peer, overlap=overlap)
    assert all(0.0 <= weight <= 6.0 for weight in (*weights.familiar, weights.foreign))
    assert sum(weight > 0.0 for weight in weights.familiar) <= min(overlap, len(own))


@given(own=F1, low=F1, high=F1)
def test_a_better_peer_has_no_less_influence(own: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert influence(score(own, low)) <= influence(score(own, high))


@given(own=st.lists(st.floats(0.26, 1.0), min_size=1, max_size=8), overlap=st.integers(0, 9))
def test_a_peer_worse_by_a_quarter_counts_nothing(own: list[float], overlap: int) -> None:
    weights = weigh(own, [value - 0.26 for value in own], overlap=overlap)
    assert {*weights.familiar, weights.foreign} == {0.0}


def test_scores_of_another_count_are_refused() -> None:
    with pytest.raises(robust.InputError, match="2 scores of a peer, 3 of the own model"):
        weigh([0.5] * 3, [0.5] * 2)


@pytest.mark.parametrize("value", [-5.0, 1.1, 1e200, math.nan])
def test_scores_out_of_range_are_refused(value: float) -> None:
    for own, peer, name in (([value], [0.5], "own_scores"), ([0.5], [value], "peer_scores")):
        with pytest.raises(robust.InputError, match=rf"{name}: .* is no score; give a number in"):
            weigh(own, peer)
