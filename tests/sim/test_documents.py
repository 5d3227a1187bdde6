"""A scenario written out in full: the same one, its digest, and other values of its fields."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from p2pfed.errors import ConfigError
from sim.documents import digest_of, document_of, load_changed, value_of, with_overrides
from sim.scenario import load_scenario
from tests.sim.short import SHORT

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))
HOSTILE = {
    **SHORT,
    "adversaries": [{"peer": 1, "kind": "scaled-difference", "scale": -4.0}],
    "variants": [{"peers": [2], "fields": {"training.batch_size": 8}}],
    "faults": [{"kind": "crash", "at_s": 1.0, "peers": [0]}],
}


@pytest.mark.parametrize("scenario", [*SCENARIOS, HOSTILE], ids=str)
def test_a_document_is_the_same_scenario_also_in_a_file(scenario: Any) -> None:
    document = document_of(load_scenario(scenario))
    again = tomllib.loads(tomli_w.dumps(document))
    assert document_of(load_scenario(again)) == document


def test_a_document_says_what_the_scenario_leaves_to_defaults() -> None:
    document = document_of(load_scenario(SHORT))
    assert document["compute"]["training_s"] == 1.0
    assert document["integration"]["beta_max"] == 0.3
    assert "node" not in document
    assert "index" not in document["share"]


def test_the_seed_of_a_run_is_in_the_document_only_if_the_scenario_says_it() -> None:
    assert "seed" not in document_of(load_scenario(SHORT))["run"]
    seeded = with_overrides(SHORT, {"run.seed": 3})
    assert document_of(load_scenario(seeded))["run"]["seed"] == 3


def test_what_is_written_out_or_in_another_order_has_the_same_digest() -> None:
    plain = document_of(load_scenario(SHORT))
    said = with_overrides(dict(reversed(SHORT.items())), {"integration.beta_max": 0.3})
    assert digest_of(document_of(load_scenario(said))) == digest_of(plain)
    other = with_overrides(SHORT, {"integration.beta_max": 0.2})
    assert digest_of(document_of(load_scenario(other))) != digest_of(plain)


def test_a_table_that_is_emptied_first_stays_empty_for_the_next_user() -> None:
    overrides: dict[str, Any] = {"network": {}, "network.latency_s": 0.5}
    lossy = {**SHORT, "network": {"loss_ratio": 0.2}}
    assert with_overrides(lossy, overrides)["network"] == {"latency_s": 0.5}
    assert overrides["network"] == {}


def test_overrides_reach_new_tables_and_entries_of_lists() -> None:
    changed = with_overrides(
        HOSTILE, {"network.latency_s": 0.5, "adversaries.0.scale": 2.0, "faults.0.peers.0": 2}
    )
    assert changed["network"] == {"latency_s": 0.5}
    assert changed["adversaries"][0]["scale"] == 2.0
    assert changed["faults"][0]["peers"] == [2]
    assert HOSTILE["adversaries"][0]["scale"] == -4.0


SPREAD = {"latency_distribution": "uniform", "latency_drawn": "message"}
SELDOM = {"weights": "fedau", "base": 0.3}


def test_what_overrides_switch_off_takes_its_constants_along() -> None:
    base = document_of(load_scenario({**SHORT, "network": SPREAD, "participation": SELDOM}))
    off = {"network.latency_distribution": "constant", "participation.weights": "alike"}
    assert document_of(load_changed(base, off)) == document_of(load_scenario(SHORT)), base
    assert (
        load_changed(base, {"integration.beta_max": 0.2}).world.network.latency_drawn == "message"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {"participation.weights": "alike", "participation.base": 0.2},
        {"participation": {}, "participation.base": 0.2},
    ],
    ids=str,
)
def test_overrides_that_have_no_effect_are_refused(overrides: dict[str, Any]) -> None:
    base = document_of(load_scenario({**SHORT, "participation": SELDOM}))
    with pytest.raises(ConfigError) as caught:
        load_changed(base, overrides)
    assert (caught.value.field, caught.value.value) == ("participation.base", 0.2)


@pytest.mark.parametrize(
    ("field", "fix"),
    [
        ("adversaries.1.scale", "from 0 to 0 in place of 1, or the whole list"),
        ("adversaries.first.scale", "from 0 to 0 in place of first"),
        ("faults.0.peers.7", "from 0 to 0 in place of 7"),
        ("relays.0", "the list is empty: write all of it"),
        ("run.name.first", "is a value"),
        ("run.name.first.second", "is a value"),
    ],
)
def test_overrides_of_what_is_not_there_are_errors(field: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix) as caught:
        with_overrides({**HOSTILE, "relays": []}, {field: 2})
    assert (caught.value.field, caught.value.value) == (field, 2)


def test_values_are_found_by_their_dotted_names() -> None:
    document = {"a": {"b": 1}, "list": [{"c": 2}, {"c": 3}]}
    assert [value_of(document, field) for field in ("a.b", "list.1.c", "a")] == [1, 3, {"b": 1}]
    for field in ("d", "a.b.c", "d.e", "list.2.c", "list.c"):
        assert value_of(document, field) is None


@pytest.mark.parametrize(
    ("overrides", "integration"),
    [
        ({"integration.rule": "b"}, {"rule": "b", "params": {"x": 1, "y": 2}, "beta_max": 0.1}),
        (
            {"integration": {"rule": "b"}},
            {"rule": "b", "params": {"x": 1, "y": 2}, "beta_max": 0.1},
        ),
        (
            {"integration": {"params": {"x": 3}}},
            {"rule": "a", "params": {"x": 3}, "beta_max": 0.1},
        ),
        ({"integration.params": {}}, {"rule": "a", "params": {}, "beta_max": 0.1}),
        (
            {"integration.params.x": 3},
            {"rule": "a", "params": {"x": 3, "y": 2}, "beta_max": 0.1},
        ),
        ({"integration": {}, "integration.rule": "b"}, {"rule": "b"}),
    ],
)
def test_a_table_replaces_what_it_names_and_an_empty_one_all(
    overrides: dict[str, Any], integration: dict[str, Any]
) -> None:
    base = {"integration": {"rule": "a", "params": {"x": 1, "y": 2}, "beta_max": 0.1}}
    assert with_overrides(base, overrides) == {"integration": integration}
    assert base["integration"]["params"] == {"x": 1, "y": 2}
