"""Every parameter of every rule and pre-aggregation, given what it cannot be."""

import math
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from inspect import Parameter, signature
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
from robust import DistancePrioritizer, Integrator
from robust.parameters import WHOLE_NUMBER_MAX, shown
from robust.registry import PRE_AGGREGATIONS, RULES, accepts

NAMES = [*robust.names(), *(f"{it}+mean" for it in robust.pre_aggregation_names())]

WRONG: dict[str, Any] = {
    "text": "0.5",
    "None": None,
    "list": [1],
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "minus one": -1,
    "True": True,
    "huge": 10**400,
    "too large to be written": 10**5000,
    "fraction": 2.5 + 1e-9,
    "tensor": torch.ones(2),
}

# A parameter -> what of the above it takes.
TAKES = {
    "class_count": {"None"},
    "confidence": {"fraction"},
    "familiar": {"None"},
    "is_strict": {"True"},
    "kept_count": {"None"},
    "median_ratio": {"fraction"},
    "noise_seed": {"None", "minus one"},  # which is looked at where there is noise
    "norm_cap_ratio": {"None", "infinity", "fraction"},
    "norm_floor": {"fraction"},
    "overlaps": {"None"},
    "prefilter": {"True"},
    "radius": {"None", "infinity", "fraction"},
    "radius_ratio": {"fraction"},
    "step": {"fraction"},
    "tightening": {"fraction"},
}


def score(_vector: Tensor) -> list[float]:
    return [0.5]


def part_of(name: str) -> Any:
    """Return the class of a rule, or of the pre-aggregation before it."""
    first = name.split("+")[0]
    return PRE_AGGREGATIONS.get(first) or RULES[first]


def needed(name: str) -> dict[str, Any]:
    """Return a value of each parameter that some rule cannot be made without."""
    values = {"byzantine_count": 1, "evaluate": score, "seed": 1}
    if name.startswith("clipping+"):
        values["radius"] = 1.0
    return {key: value for key, value in values.items() if accepts(name, key)}


def parameters() -> Iterator[Any]:
    for name in NAMES:
        for parameter in part_of(name).__dataclass_fields__:
            yield pytest.param(name, parameter, id=f"{name} {parameter}")


@pytest.mark.parametrize(("name", "parameter"), list(parameters()))
def test_wrong_value_is_refused_with_the_name_of_its_parameter(name: str, parameter: str) -> None:
    taken = set()
    for label, value in WRONG.items():
        try:
            robust.create(name, **needed(name) | {parameter: value})
        except robust.RuleError as error:
            assert parameter.removesuffix("s") in str(error)  # noqa: PT017
        else:
            taken.add(label)
    expected = TAKES.get(parameter, set())
    if (name, parameter) == ("clipping+mean", "radius"):
        expected = expected - {"None"}  # it has no other length to go by
    assert taken == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.5", "radius='0.5' is not a number or None"),
        (math.nan, "radius=nan is not a number or None"),
        (10**5000, r"radius=\(a whole number of 16610 bits\) is not a number or None"),
        ([10**5000], r"radius=\(a list\) is not"),
        ("x" * 999, r"radius='x{79}\.\.\. is not"),
    ],
    ids=["text", "NaN", "huge", "huge in a list", "long"],
)
def test_wrong_value_is_named_in_a_line(value: object, said: str) -> None:
    with pytest.raises(robust.RuleError, match=said):
        robust.create("self-centered-clipping", byzantine_count=1, radius=value)


@pytest.mark.parametrize("name", NAMES)
def test_no_liars_are_expected_where_their_count_changes_nothing(name: str) -> None:
    assert signature(part_of(name)).parameters["byzantine_count"].default in (Parameter.empty, 0)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_given_by_name_and_cannot_be_changed(name: str) -> None:
    part = part_of(name)
    made = part(**{key: it for key, it in needed(name).items() if key in part.__dataclass_fields__})
    for parameter in signature(part).parameters.values():
        assert parameter.kind == Parameter.KEYWORD_ONLY
        with pytest.raises(FrozenInstanceError):
            setattr(made, parameter.name, 0)
    assert not hasattr(made, "__dict__")


def test_whole_number_serves_as_a_number() -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=1, radius=1)
    assert rule == robust.create("self-centered-clipping", byzantine_count=1, radius=1.0)


def test_seed_of_128_bits_is_taken_and_a_longer_one_is_not() -> None:
    robust.create("bucketing+mean", byzantine_count=0, seed=WHOLE_NUMBER_MAX)
    with pytest.raises(robust.RuleError, match=r"seed=.* 129 bits"):
        robust.create("bucketing+mean", byzantine_count=0, seed=WHOLE_NUMBER_MAX + 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"overlaps": {"a": 1.5}}, "overlaps={'a': 1.5} is not a whole number or a mapping"),
        ({"overlaps": {1.5: 1}}, "overlaps={1.5: 1} is not a whole number or a mapping"),
        ({"class_count": 2, "familiar": (0, 0.5)}, r"familiar=\(0, 0.5\) is not a list"),
        ({"foreign_guard": 3}, "foreign_guard=3 is not one of none, median, clip"),
    ],
)
def test_what_is_in_a_list_or_mapping_is_looked_at(given: dict[str, Any], said: str) -> None:
    with pytest.raises(robust.RuleError, match=said):
        robust.create("bristle", evaluate=score, **given)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "rule None is not a name; known: balance"),
        (3, "rule 3 is not a name; known: balance"),
        ("", "unknown rule ''; known: balance"),
        (" mean", "unknown rule ' mean'; known: balance"),
        ("nnm + mean", r"unknown pre-aggregation 'nnm ' in 'nnm \+ mean'; known: arc"),
        ("nnm", r"'nnm' ends with a pre-aggregation; add a rule: 'nnm\+trimmed-mean'"),
        ("arc+nnm", r"'arc\+nnm' ends with a pre-aggregation; add a rule: 'arc\+nnm\+trimmed-mean"),
        ("nnm+", r"rule 'nnm\+' has an empty part; write names with one \+ between two"),
        ("+mean", r"rule '\+mean' has an empty part"),
        ("nnm++mean", r"rule 'nnm\+\+mean' has an empty part"),
        ("crum", "unknown rule 'crum'; known: .*; did you mean 'krum'?"),
        ("trimmed_mean", "; did you mean 'trimmed-mean'?"),
        ("nmm+mean", "; did you mean 'nnm'?"),
        ("krum+nnm", r"unknown pre-aggregation 'krum' in 'krum\+nnm'; known: arc"),
        ("krum+mean", r"unknown pre-aggregation 'krum' in 'krum\+mean'; known: arc"),
        ("Krum", "unknown rule 'Krum'; known: balance"),
    ],
)
def test_wrong_name_is_named(name: Any, said: str) -> None:
    with pytest.raises(robust.RuleError, match=said):
        robust.create(name, byzantine_count=1)
    with pytest.raises(robust.RuleError):
        accepts(name, "seed")


def test_a_pre_aggregation_may_stand_there_twice() -> None:
    rule = robust.create("nnm+nnm+krum", byzantine_count=1)
    assert rule(torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])).tolist() == [1.5]


@pytest.mark.parametrize(
    "given",
    [
        {"rule": 3},
        {"rule": None},
        {"beta_max": "0.3"},
        {"norm_cap_ratio": "3"},
        {"gamma": "1"},
        {"gamma": None},
        {"prioritizer": 3},
        {"evaluate": 3},
        {"gram": 3},
        {"observes": "no"},
        {"params": 3},
        {"params": {3: 1}},
        {"seed": "a"},
        {"seed": 0.5},
    ],
    ids=str,
)
def test_integrator_refuses_what_is_of_another_type(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(robust.RuleError, match=rf"^{name}=.* is not "):
        Integrator(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"model_count_max": "x"},
        {"model_count_max": 2.5},
        {"exploration_ratio": "x"},
        {"draw": 3},
        {"seed": "a"},
    ],
    ids=str,
)
def test_prioritizer_refuses_what_is_of_another_type(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(robust.RuleError, match=rf"^{name}=.* is not "):
        DistancePrioritizer(**{"seed": 1} | given)


def test_value_that_cannot_be_written_is_shown_by_its_type() -> None:
    assert shown({"a": 10**5000}) == "(a dict)"
