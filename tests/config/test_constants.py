"""Run files show the constants of what they name, with defaults and meanings."""

import tomllib
from typing import Any

import pytest

from p2pfed.config.constants import NAMED_TABLES, _parts, constants_of
from p2pfed.config.files import parse, render
from p2pfed.config.learning import assemble
from p2pfed.identity import Identity

NAMES = [(table, name) for table in NAMED_TABLES for name in _parts(table)]


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_every_constant_has_a_meaning_and_a_default_that_is_taken(table: str, name: str) -> None:
    found = constants_of(table, name)
    assert [it.name for it in found if len(it.meaning) < 5] == []
    made = _parts(table)[name]
    given = {it.name: tuple(x) if isinstance(x := it.default, list) else x for it in found}
    assert made(**given) == made()


def test_a_run_file_shows_constants_and_keeps_those_given() -> None:
    given = {
        "method": {"name": "seeds", "share": 0.1},
        "codec": {"name": "operation"},
        "training": {"step_rule": {"name": "sgd", "learning_rate": 0.01}},
    }
    text = render(parse(given))
    found = tomllib.loads(text)
    assert found["method"]["share"] == 0.1
    assert found["method"]["direction_count"] == 1024
    assert found["codec"] == {"name": "operation"}
    assert found["training"]["step_rule"]["learning_rate"] == 0.01
    assert found["training"]["step_rule"]["momentum"] == 0.0
    assert "direction_count = 1024  # K, a power of two\n" in text


@pytest.mark.parametrize(
    "tables",
    [
        {"codec": {"name": "int8"}},
        {"method": {"name": "adapter-set", "rank": 2}, "codec": {"name": "operation"}},
        {"outer": {"name": "diloco"}},
        {"share": {"name": "dirichlet", "count": 3}},
    ],
    ids=lambda tables: next(iter(tables)),
)
def test_constants_written_out_are_the_same_run(tables: dict[str, Any]) -> None:
    config = parse({"run": {"task": "digits"}, **tables})
    again = parse(tomllib.loads(render(config)))
    ids = [assemble(it, Identity(bytes(32))).agreement.run_id for it in (config, again)]
    assert ids[0] == ids[1]
    assert again.share == config.share
    assert parse(tomllib.loads(render(again))) == again


def test_a_ballot_is_written_as_it_was_given() -> None:
    tables = {"method": {"name": "ranks"}, "codec": {"name": "ballot"}}
    assert tomllib.loads(render(parse(tables)))["codec"] == {"name": "ballot"}
