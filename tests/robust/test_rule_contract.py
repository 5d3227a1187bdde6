"""What holds for every rule in the table, whatever it computes."""

import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from inspect import isabstract

import pytest
import torch
from torch import Tensor

import robust
from robust.blocks import is_dense
from robust.function_rule import FunctionRule
from robust.pre_aggregation.step import PreAggregated
from robust.registry import RULES, accepts
from robust.rule import Rule
from robust.rules.norm_clipping import NormClipping
from robust.rules.score_vote import ScoreVote
from robust.rules.sign_majority import SignMajority
from robust.rules.update_vote import UpdateVote

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def concrete_rules() -> Iterator[type[Rule]]:
    for module in pkgutil.walk_packages(robust.__path__, prefix="robust."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Rule) and not isabstract(value):
                yield value


# It reads ranks in place of vectors, and has a contract of its own.
RANK_RULES = {"rank-vote"}
# They are made around rules or functions, and not by a name of the table.
AROUND_RULES = {FunctionRule, PreAggregated, ScoreVote, UpdateVote}
# They shorten rows, or vote on steps: what their coefficients lack to 1 is the origin's.
SHORTENING_RULES = (NormClipping, SignMajority)


def score(_vector: Tensor) -> list[float]:
    return [0.5, 0.5]


@pytest.fixture(params=sorted(set(RULES) - RANK_RULES))
def rule(request: pytest.FixtureRequest) -> Rule:
    scores = {"evaluate": score} if accepts(request.param, "evaluate") else {}
    return robust.create(request.param, byzantine_count=1, **scores)


def test_every_rule_class_is_in_the_table() -> None:
    assert set(concrete_rules()) == {*RULES.values(), *AROUND_RULES}


def test_names_are_the_table() -> None:
    assert robust.names() == tuple(sorted(RULES))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_result_has_the_shape_and_type_of_a_row(rule: Rule, dtype: torch.dtype) -> None:
    vectors = make_vectors(5, 7).to(dtype)
    result = rule(vectors, own=vectors[2])
    assert result.shape == (7,)
    assert result.dtype == dtype
    assert result.isfinite().all()


def test_aggregate_returns_the_same_vector_and_shares_that_sum_to_one(rule: Rule) -> None:
    vectors = make_vectors(6, 40)
    vectors[4] *= 1e-3
    result = rule.aggregate(vectors, own=vectors[2])
    assert torch.equal(result.vector, rule(vectors, own=vectors[2]))
    assert result.coefficients.shape == (6,)
    assert result.coefficients.dtype == torch.float64
    assert float(result.coefficients.min()) >= 0.0
    total = float(result.coefficients.sum()) + result.own_coefficient
    assert total <= 1.0 + 1e-9
    if not isinstance(rule, SHORTENING_RULES):
        assert total == pytest.approx(1.0)


def test_result_is_new_memory(rule: Rule) -> None:
    vectors = make_vectors(5, 4)
    before = vectors.clone()
    rule(vectors, own=vectors[0]).fill_(9.0)
    assert torch.equal(vectors, before)


def test_layout_in_memory_does_not_matter(rule: Rule) -> None:
    vectors = make_vectors(5, 30)
    columns_first = vectors.T.contiguous().T
    assert not columns_first.is_contiguous()
    result = rule(columns_first, own=columns_first[0])
    assert torch.equal(result, rule(vectors, own=vectors[0]))
    assert result.is_contiguous()


def test_vectors_with_gradients_are_read_and_not_tracked(rule: Rule) -> None:
    vectors = make_vectors(5, 3).requires_grad_()
    assert not rule(vectors, own=vectors[0]).requires_grad


def test_equal_parameters_make_equal_rules(rule: Rule) -> None:
    assert rule == replace(rule)
    assert "byzantine_count=1" in repr(rule)


def test_too_few_rows_are_infeasible(rule: Rule) -> None:
    strict = replace(rule, byzantine_count=3)
    vectors = make_vectors(strict.rows_min, 2)
    strict(vectors, own=vectors[0])
    if strict.rows_min > 1:
        with pytest.raises(robust.InfeasibleError, match=f"needs {strict.rows_min} rows"):
            strict(vectors[1:], own=vectors[1])


@pytest.mark.parametrize("count", [-1, 1.0, True, "1", None])
def test_wrong_count_of_liars_is_refused(rule: Rule, count: object) -> None:
    with pytest.raises(robust.RuleError, match="byzantine_count"):
        replace(rule, byzantine_count=count)


@pytest.mark.parametrize(
    ("vectors", "complaint"),
    [
        (torch.zeros(3), "shape"),
        (torch.zeros(0, 3), "shape"),
        (torch.zeros(3, 0), "shape"),
        (torch.zeros(1, 3, 3), "shape"),
        (torch.zeros(3, 3, dtype=torch.int64), "int64"),
        (torch.zeros(3, 3, dtype=torch.bool), "bool"),
        (torch.zeros(3, 3, dtype=torch.complex64), "complex64"),
        (torch.tensor([[1.0], [float("nan")], [2.0]]), "NaN"),
        (torch.tensor([[1.0], [float("inf")], [2.0]]), "infinity"),
        (torch.zeros(3, 3).to_sparse(), "vectors .*sparse_coo.* is not dense"),
        (torch.zeros(3, 3, device="meta"), "vectors .*meta.* is not dense"),
        (torch.zeros(3, 3).to_mkldnn(), "vectors .*mkldnn.* is not dense"),
        ([[1.0], [2.0], [3.0]], "vectors: list is not a tensor"),
        (None, "vectors: NoneType is not a tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vectors_that_no_rule_reads_are_refused(
    rule: Rule, vectors: object, complaint: str
) -> None:
    own = torch.zeros(3)
    if is_dense(vectors) and vectors.ndim == 2 and 0 not in vectors.shape:
        own = vectors[0]
    with pytest.raises(robust.InputError, match=complaint):
        rule(vectors, own=own)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"own": torch.zeros(2)}, "own"),
        ({"own": torch.zeros(3, dtype=torch.float64)}, "own"),
        ({"own": torch.full((3,), float("nan"))}, "own"),
        ({"weights": [1.0, 1.0]}, "2 weights for 3 rows"),
        ({"weights": [1.0, -1.0, 1.0]}, ">= 0"),
        ({"weights": [1.0, float("nan"), 1.0]}, "finite"),
        ({"weights": torch.zeros(3)}, "all 0"),
        ({"weights": torch.ones(3, 1)}, r"weights of .*shape \(3, 1\)"),
        ({"weights": torch.ones(3, dtype=torch.complex64)}, "weights of torch.complex64"),
        ({"weights": torch.ones(3).to_sparse()}, "weights .* is not dense"),
        ({"weights": ["1", "1", "1"]}, "weights .* are not n numbers"),
        ({"weights": [None, 1.0, 1.0]}, "weights .* are not n numbers"),
        ({"weights": [10**400, 1, 1]}, "weights .* are not n numbers"),
        ({"weights": 3}, "weights 3 are not n numbers"),
        ({"keys": ["a", "b"]}, "2 keys for 3 rows"),
        ({"keys": ["a", "b", "a"]}, "keys repeat"),
        ({"keys": ["a", b"b", 3]}, "sorted"),
        ({"keys": [None, None, None]}, "repeat"),
        ({"keys": [["a"], ["b"], ["c"]]}, "sorted"),
        ({"keys": 3}, "keys cannot be sorted"),
        ({"gram": torch.zeros(2, 2)}, "gram"),
        ({"gram": torch.full((3, 3), float("inf"))}, "gram"),
        ({"gram": torch.eye(3, dtype=torch.complex64)}, "gram of torch.complex64"),
        ({"gram": torch.eye(3).to_sparse()}, "gram .* is not dense"),
        ({"gram": torch.eye(3, device="meta")}, "gram .* is not dense"),
        ({"gram": -torch.eye(3)}, r"gram: -1\.0 is no product of a row with itself"),
        (
            {"gram": torch.ones(3, 3).triu()},
            r"gram is not symmetric.* give \(gram \+ gram\.T\) / 2",
        ),
        ({"gram": [[1.0]]}, "gram: list is not a tensor"),
        ({"own": [0.0, 0.0, 0.0]}, "own: list is not a tensor"),
        ({"own": torch.zeros(3).to_sparse()}, "own .* is not dense"),
    ],
)
def test_wrong_arguments_are_refused(
    rule: Rule, arguments: dict[str, object], complaint: str
) -> None:
    with pytest.raises(robust.InputError, match=complaint):
        rule(torch.zeros(3, 3), **({"own": torch.zeros(3)} | arguments))


def test_rounding_of_a_gram_in_a_short_type_is_no_mistake() -> None:
    gram = torch.tensor([[0.0, 2e-4, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1e-4]], dtype=torch.float16)
    rule = robust.create("krum", byzantine_count=0)
    assert rule(torch.zeros(3, 2), gram=gram).tolist() == [0.0, 0.0]


def test_unknown_rule_lists_the_known() -> None:
    with pytest.raises(robust.RuleError, match=r"'krun'.*mean, mean-around-median, median"):
        robust.create("krun", byzantine_count=1)


def test_unknown_pre_aggregation_says_so() -> None:
    with pytest.raises(
        robust.RuleError, match=r"unknown pre-aggregation 'nope' in 'nope\+mean'; known: "
    ):
        robust.create("nope+mean")


def test_unknown_parameter_lists_the_accepted() -> None:
    with pytest.raises(robust.RuleError, match=r"unknown \['f'\].*accepted: \['byzantine_count'\]"):
        robust.create("trimmed-mean", f=1)


def test_missing_parameter_lists_the_accepted() -> None:
    with pytest.raises(robust.RuleError, match=r"missing \['byzantine_count'\]"):
        robust.create("trimmed-mean")


def test_unknown_parameter_says_what_was_probably_meant() -> None:
    with pytest.raises(robust.RuleError, match=r"unknown \['radios'\]; did you mean 'radius'\?"):
        robust.create("self-centered-clipping", byzantine_count=1, radios=1.0)


@pytest.mark.parametrize("name", ["bristle", "ubar"])
def test_missing_scores_say_how_they_are_given(name: str) -> None:
    with pytest.raises(robust.RuleError, match=r"\['evaluate'\]; give evaluate=, a function"):
        robust.Integrator(name)


@pytest.mark.parametrize(("prefix", "said"), [("", "Monna"), ("nnm+", "Monna")])
def test_a_missing_own_vector_names_the_rule(prefix: str, said: str) -> None:
    rule = robust.create(f"{prefix}monna", byzantine_count=1)
    for call in (rule, rule.aggregate):
        with pytest.raises(robust.InputError, match=f"{said} is self-centered: give own="):
            call(make_vectors(5, 2))


@pytest.mark.parametrize("radius", [-1.0, float("nan")])
def test_wrong_radius_is_refused(radius: float) -> None:
    with pytest.raises(robust.RuleError, match="radius"):
        robust.create("self-centered-clipping", byzantine_count=1, radius=radius)


def test_self_centered_rule_needs_own() -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=1)
    with pytest.raises(robust.InputError, match="own="):
        rule(torch.zeros(3, 2))


def test_gram_needs_own_among_the_rows() -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=1)
    with pytest.raises(robust.InputError, match="own is not among them"):
        rule(torch.zeros(3, 2), own=torch.ones(2), gram=torch.eye(3))


@pytest.mark.parametrize(("n", "beta_max"), [(0, 0.3), (3, 0.5), (3, -0.1), (3, float("nan"))])
def test_count_of_liars_needs_a_majority(n: int, beta_max: float) -> None:
    with pytest.raises(robust.RuleError):
        robust.byzantine_count(n, beta_max)


@pytest.mark.parametrize(("beta_max", "why"), [(0.5, "lying half"), (-0.1, "the share of liars")])
def test_a_wrong_share_of_liars_says_why(beta_max: float, why: str) -> None:
    with pytest.raises(robust.RuleError, match=rf"beta_max={beta_max} is not in .*{why}"):
        robust.byzantine_count(5, beta_max)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_wild_value_is_named_with_its_place(value: float) -> None:
    vectors = torch.ones(5, 4)
    vectors[3, 2] = value
    with pytest.raises(robust.InputError, match=rf"infinity, {value} in row 3, column 2; robust"):
        robust.create("median")(vectors)
    with pytest.raises(robust.InputError, match=rf"own: NaN or infinity, {value} in place 2;"):
        robust.create("monna", byzantine_count=1)(torch.ones(5, 4), own=vectors[3])
