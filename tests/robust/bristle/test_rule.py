"""The rule `bristle`: what each row counts in each column, and what nobody can do to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust import blocks
from robust.bristle.weights import influence, score

CLASS_COUNT = 4
FAMILIAR = (2, 0)


@dataclass
class Scripted:
    """Scores vectors by their first entry, which stands for who they are."""

    scores: Mapping[float, Sequence[float]]

    def __call__(self, vector: Tensor) -> Sequence[float]:
        return self.scores[float(vector[0])]


def make_rows(*names: float, features: int = 3, classes: int = CLASS_COUNT) -> Tensor:
    """Rows of random entries about as long as each other, each with its name in front."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(len(names), features * classes, generator=generator)
    rows[:, 0] = torch.tensor(names)
    return rows


def make(scores: Mapping[float, Sequence[float]], **params: object) -> robust.Rule:
    given = {"class_count": CLASS_COUNT, "familiar": FAMILIAR} | params
    return robust.create("bristle", evaluate=Scripted(scores), **given)


def columns(vector: Tensor) -> Tensor:
    return vector.view(-1, CLASS_COUNT)


# Own 0.5 on both classes. Peer 1 is better by 0.2 on the first (2^3.5 = 11.31) and equal on the
# second; its certainty is 0.6 - 0.1. Peer 2 is worse by 0.3 (-3^4.5 = -140.3) on both.
SCORES = {0.0: [0.5, 0.5], 1.0: [0.7, 0.5], 2.0: [0.2, 0.2]}
BETTER = influence(2.0**3.5) * 0.5


def test_columns_are_mixed_by_their_own_weights() -> None:
    rows = make_rows(0.0, 1.0, 2.0)
    own, peer, _ = (columns(row) for row in rows)
    result = make(SCORES).aggregate(rows, own=rows[0])
    mixed = columns(result.vector)
    # The scores are those of classes 2 and 0, in this order; foreign are 1 and 3.
    weights = {0: 0.5, 1: BETTER, 2: BETTER, 3: BETTER}
    torch.testing.assert_close(BETTER, 1.282541 * 0.5, atol=1e-6, rtol=0.0)
    for it, weight in weights.items():
        expected = (own[:, it] + weight * peer[:, it]) / (1.0 + weight)
        torch.testing.assert_close(mixed[:, it], expected)
    shares = [weight / (1.0 + weight) for weight in weights.values()]
    share = sum(shares) / CLASS_COUNT
    assert result.coefficients.tolist() == pytest.approx([1.0 - share, share, 0.0])
    assert result.own_coefficient == 0.0


def test_own_need_not_stand_among_the_rows() -> None:
    rows = make_rows(0.0, 1.0, 2.0)
    among = make(SCORES).aggregate(rows, own=rows[0])
    apart = make(SCORES).aggregate(rows[1:], own=rows[0])
    assert torch.equal(apart.vector, among.vector)
    assert apart.coefficients.tolist() == among.coefficients.tolist()[1:]
    assert apart.own_coefficient == pytest.approx(float(among.coefficients[0]))


def test_copy_of_own_is_a_peer_that_does_as_well() -> None:
    # Certainty 0.5 and influence 1: own counts 1, its copy 0.5, and they share what they have.
    rows = make_rows(0.0, 1.0)[[0, 1, 0]]
    result = make(SCORES).aggregate(rows, own=rows[0])
    own, peer = columns(rows[0]), columns(rows[1])
    expected = (1.5 * own[:, 1] + BETTER * peer[:, 1]) / (1.5 + BETTER)
    torch.testing.assert_close(columns(result.vector)[:, 1], expected)
    first, _, copy = result.coefficients.tolist()
    assert first == copy
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("guard", ["none", "median", "clip"])
@pytest.mark.parametrize("has_classes", [True, False])
def test_own_is_kept_to_the_last_bit_if_all_do_much_worse(guard: str, has_classes: bool) -> None:
    names = [float(name) for name in range(12)]
    scores = {name: [0.64, 0.36] for name in names} | {0.0: [0.9, 0.62]}
    rows = make_rows(*names)
    shape = {} if has_classes else {"class_count": None, "familiar": None}
    rule = make(scores, foreign_guard=guard, overlaps=2, **shape)
    result = rule.aggregate(rows, own=rows[0])
    assert torch.equal(result.vector, rows[0])
    assert result.coefficients.tolist() == [1.0] + [0.0] * 11
    # The control: with one who does as well, it moves.
    rule = make(scores | {5.0: [0.9, 0.62]}, foreign_guard=guard, overlaps=2, **shape)
    assert not torch.equal(rule(rows, own=rows[0]), rows[0])


@given(own=st.floats(0.0, 1.0), peer=st.floats(0.0, 1.0), length=st.floats(0.0, 1e30))
def test_p12_one_peer_pulls_a_column_by_at_most_six_sevenths(
    own: float, peer: float, length: float
) -> None:
    rows = make_rows(0.0, 1.0).double()
    rows[1, 1:] *= length
    rule = make({0.0: [own, own], 1.0: [peer, peer]}, norm_cap_ratio=None)
    pull = columns(rule(rows, own=rows[0]) - rows[0]).norm(dim=0)
    assert bool((pull <= 6 / 7 * columns(rows[1] - rows[0]).norm(dim=0) * (1 + 1e-12)).all())


def test_p12_the_bound_is_nearly_reached_and_lengths_are_not_bounded() -> None:
    rows = make_rows(0.0, 1.0)
    rows[1, 1:] *= 1e6
    scores = {0.0: [0.0, 0.0], 1.0: [1.0, 1.0]}
    moved = make(scores, norm_cap_ratio=None)(rows, own=rows[0])
    pull = columns(moved - rows[0])[:, 1:].norm(dim=0)
    assert bool((pull >= 0.857 * columns(rows[1] - rows[0])[:, 1:].norm(dim=0)).all())


def test_rows_above_the_norm_cap_count_nothing_and_are_not_evaluated() -> None:
    # Lengths 1, 1, 1, 3 and 3.1: the cap is 3 medians.
    rows = torch.zeros(5, 8)
    rows[:, 1] = torch.tensor([1.0, 1.0, 1.0, 3.0, 3.1])
    rows[:, 2] = torch.tensor([0.0, 0.1, 0.2, 0.0, 0.0])
    seen = []

    def evaluate(vector: Tensor) -> list[float]:
        seen.append(round(float(vector[1]), 3))
        return [0.5, 0.5]

    rule = robust.create("bristle", evaluate=evaluate, class_count=4, familiar=(0, 1))
    assert rule.aggregate(rows, own=rows[0]).coefficients.tolist()[4] == 0.0
    assert seen == [1.0, 1.0, 1.0, 3.0]
    rule = robust.create(
        "bristle", evaluate=evaluate, class_count=4, familiar=(0, 1), norm_cap_ratio=None
    )
    assert rule.aggregate(rows, own=rows[0]).coefficients.tolist()[4] > 0.0


def test_lengths_are_those_of_the_gram_matrix() -> None:
    rows = make_rows(0.0, 1.0, 2.0)
    gram = torch.diag(torch.tensor([1.0, 1.0, 100.0], dtype=torch.float64))
    equal = {name: [0.5, 0.5] for name in (0.0, 1.0, 2.0)}
    result = make(equal).aggregate(rows, own=rows[0], gram=gram)
    assert [share > 0.0 for share in result.coefficients.tolist()] == [True, True, False]


def test_overlaps_are_looked_up_by_key() -> None:
    rows = make_rows(0.0, 1.0, 2.0)
    scores = {name: [0.5, 0.5] for name in (0.0, 1.0, 2.0)}
    keys = ["own", "b", "c"]
    rule = make(scores, overlaps={"b": 0})
    shares = rule.aggregate(rows, own=rows[0], keys=keys).coefficients.tolist()
    assert [share > 0.0 for share in shares] == [True, False, True]
    backwards = rule.aggregate(rows.flip(0), own=rows[0], keys=keys[::-1]).coefficients.tolist()
    assert backwards[::-1] == shares
    # Without keys nobody is told apart, and 3 classes are taken to be shared.
    unkeyed = rule.aggregate(rows, own=rows[0]).coefficients
    assert bool((unkeyed > 0.0).all())


def test_overlaps_are_given_to_the_integrator_by_peer() -> None:
    rows = make_rows(0.0, 1.0, 2.0, 3.0)
    integrator = robust.Integrator(
        "bristle",
        evaluate=Scripted({float(name): [0.5, 0.5] for name in range(4)}),
        params={"class_count": 4, "familiar": FAMILIAR, "overlaps": {"b": 0}},
    )
    given_rows = [robust.Row(peer, row) for peer, row in zip("abc", rows[1:], strict=True)]
    for caps in ({}, {"c": 0.9}):
        integration = integrator.integrate(rows[0], given_rows, round=7, mass_caps=caps)
        assert {v.peer: v.weight > 0.0 for v in integration.verdicts} == {
            "a": True,
            "b": False,
            "c": True,
        }


def test_integrator_scores_vectors_and_not_drifts() -> None:
    # The vectors' first entries are 1 and 2, those of the drifts 0 and 1.
    genesis = torch.zeros(8)
    genesis[0] = 1.0
    rows = make_rows(0.0, 1.0, features=2) + genesis
    integrator = robust.Integrator(
        "bristle",
        evaluate=Scripted({1.0: [0.5, 0.5], 2.0: [0.1, 0.1]}),
        params={"class_count": 4, "familiar": FAMILIAR},
    )
    integration = integrator.integrate(rows[0], [robust.Row("a", rows[1])], genesis=genesis)
    assert not integration.kept_own
    torch.testing.assert_close(integration.vector, rows[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_integrator_scores_vectors_of_the_type_of_own(dtype: torch.dtype) -> None:
    seen = []

    def evaluate(vector: Tensor) -> list[float]:
        seen.append(vector.dtype)
        return [0.5]

    own, rows = torch.ones(3, dtype=dtype), [robust.Row("a", torch.ones(3, dtype=dtype))]
    integrator = robust.Integrator("ubar", evaluate=evaluate)
    integrator.integrate(own, rows, genesis=torch.zeros(3, dtype=dtype))
    assert set(seen) == {dtype}


def test_own_counts_once_for_the_norm_cap() -> None:
    # Lengths 1, 3.4 and 10: the median is 3.4, and 2.2 if own were there twice.
    rows = torch.diag(torch.tensor([1.0, 3.4, 10.0]))
    rule = robust.create("bristle", evaluate=lambda _vector: [0.5])
    assert float(rule.aggregate(rows, own=rows[0]).coefficients[2]) > 0.0


def test_own_row_is_own_behind_a_cap_on_shares() -> None:
    # Were it taken for a peer, own would count 1.5 in place of 1.
    rows = make_rows(0.0, 1.0)
    evaluate = Scripted({0.0: [0.5, 0.5], 1.0: [0.5, 0.5]})
    integrator = robust.Integrator(
        "bristle", evaluate=evaluate, params={"class_count": 4, "familiar": FAMILIAR}
    )
    given_rows = [robust.Row("a", rows[1])]
    free = integrator.integrate(rows[0], given_rows)
    capped = integrator.integrate(rows[0], given_rows, mass_caps={"a": 0.5 - 1e-9})
    assert capped.own_weight == pytest.approx(free.own_weight)


def test_shards_weigh_the_whole_vector() -> None:
    # Better by 0.2 on one of four shards: 11.31 in all; mean 0.55, deviation 0.0866.
    rows = make_rows(0.0, 1.0)
    scores = {0.0: [0.5] * 4, 1.0: [0.5, 0.7, 0.5, 0.5]}
    rule = robust.create("bristle", evaluate=Scripted(scores))
    weight = influence(score(0.5, 0.7)) * (0.55 - math.sqrt(0.0075))
    expected = (rows[0] + weight * rows[1]) / (1.0 + weight)
    result = rule.aggregate(rows, own=rows[0])
    torch.testing.assert_close(result.vector, expected)
    assert result.coefficients.tolist()[1] == pytest.approx(weight / (1.0 + weight))


def test_a_peer_cannot_raise_by_how_it_scores() -> None:
    rows = make_rows(0.0, 1.0, 2.0)
    scores = {0.0: [0.5, 0.5], 1.0: [math.nan, -3.0], 2.0: [1.5, math.inf]}
    result = make(scores).aggregate(rows, own=rows[0])
    bounded = make({0.0: [0.5, 0.5], 1.0: [0.0, 0.0], 2.0: [1.0, 1.0]})
    assert torch.equal(result.vector, bounded(rows, own=rows[0]))


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        ({0.0: [0.5], 1.0: [0.5]}, "1 scores for 2 familiar classes"),
        ({0.0: [0.5, 1.1], 1.0: [0.5, 0.5]}, r"own \[0.5, 1.1\]"),
        ({0.0: [0.5, math.nan], 1.0: [0.5, 0.5]}, "own"),
        ({0.0: [0.5, 0.5], 1.0: [0.5]}, "gave 1 scores, and 2 for own"),
    ],
)
def test_wrong_scores_of_the_application_raise(
    scores: Mapping[float, Sequence[float]], complaint: str
) -> None:
    rows = make_rows(0.0, 1.0)
    with pytest.raises(robust.InputError, match=complaint):
        make(scores)(rows, own=rows[0])


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"evaluate": None}, "evaluate=None"),
        ({"class_count": 4}, "give both"),
        ({"familiar": (0,)}, "give both"),
        ({"class_count": 4, "familiar": ()}, "at least one class"),
        ({"class_count": 4, "familiar": (1, 1)}, "each once"),
        ({"class_count": 4, "familiar": (4,)}, r"\[0, class_count=4\)"),
        ({"overlaps": -1}, "overlap -1"),
        ({"overlaps": {"a": 0.5}}, "overlaps={'a': 0.5} is not"),
        ({"foreign_guard": "mean"}, "'mean'; known: none, median, clip"),
        ({"norm_cap_ratio": 0.5}, "norm_cap_ratio=0.5"),
        ({"norm_cap_ratio": math.nan}, "norm_cap_ratio=nan"),
        ({"byzantine_count": -1}, "byzantine_count"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, object], complaint: str) -> None:
    with pytest.raises(robust.RuleError, match=complaint):
        robust.create("bristle", **({"evaluate": Scripted({})} | params))


def test_vector_that_is_no_head_is_refused() -> None:
    with pytest.raises(robust.InputError, match="13 entries are no matrix of 4 columns"):
        make(SCORES)(torch.zeros(1, 13), own=torch.zeros(13))


def test_evaluation_that_keeps_or_changes_its_vector_changes_no_argument() -> None:
    rows = make_rows(0.0, 1.0)
    before = rows.clone()

    def spoil(vector: Tensor) -> list[float]:
        vector.fill_(math.nan)
        return [0.5, 0.5]

    rule = robust.create("bristle", evaluate=spoil, class_count=4, familiar=FAMILIAR)
    assert rule(rows, own=rows[0]).isfinite().all()
    assert torch.equal(rows, before)


# Guards of the foreign columns, 1 and 3.

ALIKE = {float(name): [0.5, 0.5] for name in range(8)}


def test_median_guard_moves_foreign_columns_towards_the_median() -> None:
    # Own 0; peers at 1, 2 and 900 in every column, weight 0.5 each. Median of own and the three:
    # 1.5, which counts 1.5 / 2.5. Familiar columns stay means: 903 * 0.5 / 2.5.
    rows = torch.zeros(4, 4)
    rows[1:] = torch.tensor([[1.0], [2.0], [900.0]])
    rule = robust.create(
        "bristle",
        evaluate=lambda _: [0.5, 0.5],
        class_count=4,
        familiar=FAMILIAR,
        foreign_guard="median",
        norm_cap_ratio=None,
    )
    result = rule.aggregate(rows, own=rows[0])
    assert result.vector.tolist() == pytest.approx([180.6, 0.9, 180.6, 0.9])
    # Half of the columns 0.5 / 2.5 each; in the others 1 and 2 are half of the median each.
    expected = [0.5 * 0.2 + 0.5 * 0.3, 0.5 * 0.2 + 0.5 * 0.3, 0.5 * 0.2]
    assert result.coefficients.tolist()[1:] == pytest.approx(expected)
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


def test_clip_guard_shortens_to_the_median_length() -> None:
    # Differences 1, 2 and 900 from own; the median length is 2, and 900 becomes 2.
    rows = torch.full((4, 4), 10.0)
    rows[1:] += torch.tensor([[1.0], [2.0], [900.0]])
    rule = robust.create(
        "bristle",
        evaluate=lambda _: [0.5, 0.5],
        class_count=4,
        familiar=FAMILIAR,
        foreign_guard="clip",
        norm_cap_ratio=None,
    )
    result = rule.aggregate(rows, own=rows[0])
    assert result.vector.tolist() == pytest.approx([190.6, 11.0, 190.6, 11.0])
    assert result.coefficients.tolist()[3] == pytest.approx(0.1 + 0.1 * 2 / 900)
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("guard", ["median", "clip"])
def test_guards_leave_familiar_columns_alone(guard: str) -> None:
    rows = make_rows(*ALIKE, features=50)
    plain = columns(make(ALIKE)(rows, own=rows[0]))
    guarded = columns(make(ALIKE, foreign_guard=guard)(rows, own=rows[0]))
    assert torch.equal(guarded[:, FAMILIAR], plain[:, FAMILIAR])
    assert not torch.equal(guarded[:, [1, 3]], plain[:, [1, 3]])


@pytest.mark.parametrize("guard", ["none", "median", "clip"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_blocks_and_order_do_not_matter(
    guard: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(*ALIKE, features=500).to(dtype)
    keys = [f"peer {row}" for row in range(len(rows))]
    rule = make(ALIKE, foreign_guard=guard)
    whole = rule.aggregate(rows, own=rows[0], keys=keys)
    backwards = rule.aggregate(rows.flip(0), own=rows[0], keys=keys[::-1])
    assert torch.equal(backwards.vector, whole.vector)
    torch.testing.assert_close(backwards.coefficients.flip(0), whole.coefficients)
    for width in (1, 7, 64):
        monkeypatch.setattr(blocks, "CPU_BLOCK_COLUMNS", width)
        cut = rule.aggregate(rows, own=rows[0], keys=keys)
        torch.testing.assert_close(cut.vector, whole.vector)
        torch.testing.assert_close(cut.coefficients, whole.coefficients)


@pytest.mark.parametrize("guard", ["none", "median", "clip"])
def test_huge_rows_leave_the_result_finite(guard: str) -> None:
    rows = make_rows(*ALIKE)
    rows[5, 1:], rows[6, 1:] = 3e38, -3e38
    for cap in (3.0, None):
        result = make(ALIKE, foreign_guard=guard, norm_cap_ratio=cap)(rows, own=rows[0])
        assert result.isfinite().all()
