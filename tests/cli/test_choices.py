"""Options that name several values."""

import pytest

from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.choices import assignment_of, parse_choices, parse_seeds
from p2pfed.errors import ConfigError


def test_values_are_read_as_in_a_file_and_parted_by_outer_commas():
    texts = ["rule=mean,nnm+median", "degree=2,4", 'targets=["a","b"],[]', "text='x,y',z", "at=1.5"]
    assert parse_choices(texts, option="set") == {
        "rule": ["mean", "nnm+median"],
        "degree": [2, 4],
        "targets": [["a", "b"], []],
        "text": ["x,y", "z"],
        "at": [1.5],
    }


@pytest.mark.parametrize("texts", [["rule"], ["=1"], ["a=1,"], ["a=,1"], ["a="], ["a=1", "a=2"]])
def test_choices_that_cannot_be_read(texts):
    with pytest.raises(ConfigError) as caught:
        parse_choices(texts, option="set")
    assert (caught.value.field, caught.value.value) == ("set", texts[-1])


def test_seeds_are_numbers_and_ranges_with_both_ends():
    assert parse_seeds("0..4") == [0, 1, 2, 3, 4]
    assert parse_seeds("7, 0..1,3") == [7, 0, 1, 3]


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "1..", "4..0", "0,0", "0..2,1", "1...3", "0..999999"]
)
def test_seeds_that_cannot_be_read(text):
    with pytest.raises(ConfigError) as caught:
        parse_seeds(text)
    assert (caught.value.field, caught.value.value) == ("seeds", text)


@pytest.mark.parametrize(
    "value",
    ["median", "4", "true", "x,y", 'say "so"', 4, 0.5, -1e-9, True, [1, 2], ["a"], {"b": [1]}, []],
)
def test_an_assignment_is_read_as_what_was_written(value):
    assert parse_assignments([assignment_of("x", value)], option="set") == {"x": value}
