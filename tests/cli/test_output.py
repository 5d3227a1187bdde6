"""One JSON object on standard output, and text that people can copy."""

import pytest

from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import Output, facts, print_json, size_of, text_of
from tests.cli.command import one_object


def test_json_goes_to_stdout_and_the_rest_to_stderr(capsys):
    output = Output(as_json=True)
    output.people.print("on the way")
    output.result({"a": 1}, lambda _: pytest.fail("shown to people"))
    out, err = capsys.readouterr()
    assert one_object(out) == {"a": 1}
    assert err == "on the way\n"


def test_json_has_no_nan(capsys):
    print_json({"loss": float("nan"), "list": [float("inf"), 1.0], "map": {1: (None, "x")}})
    found = one_object(capsys.readouterr().out)
    assert found == {"loss": None, "list": [None, 1.0], "map": {"1": [None, "x"]}}


def test_long_lines_and_brackets_are_printed_as_they_are(capsys):
    output = Output(as_json=False)
    address = "/ip4/192.0.2.7/tcp/4001/p2p/" + "A" * 200
    output.people.print(facts({"some_address": address, "why": "[bold] and :smile:"}))
    out, _ = capsys.readouterr()
    assert out == f"some address  {address}\nwhy           [bold] and :smile:\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (0.123456, "0.1235"),
        (["a", 1], "a\n1"),
        ([], "-"),
        ({"x": 2}, "x: 2"),
        ("plain", "plain"),
    ],
)
def test_values_for_people(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_500_000, "2.5 MB"), (7e12, "7000.0 GB")],
)
def test_sizes_for_people(count, text):
    assert size_of(count) == text


def test_assignments():
    texts = ["a.b=3", "c = 0.5", "d=true", 'e=["x","y"]', "f=word", "g=a=b", "h=/ip4/x", 'i="3"']
    assert parse_assignments(texts, option="set") == {
        "a.b": 3,
        "c": 0.5,
        "d": True,
        "e": ["x", "y"],
        "f": "word",
        "g": "a=b",
        "h": "/ip4/x",
        "i": "3",
    }
    # No text smuggles a second field in.
    assert parse_assignments(["a=1\nb=2"], option="set") == {"a": "1\nb=2"}
