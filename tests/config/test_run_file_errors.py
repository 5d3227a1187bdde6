"""Run files about integration and reputation: each error names field, value and fix."""

from typing import Any

import pytest
import torch

from p2pfed.config.assembly import standing_config
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError
from p2pfed.updates.methods.basis import check_rank
from p2pfed.updates.registry import create_method
from tests.core.peers import ANNA


def nested(field: str, value: object) -> dict[str, Any]:
    """Return a run file in which a dotted field has a value."""
    *tables, last = field.split(".")
    data: dict[str, Any] = {last: value}
    for table in reversed(tables):
        data = {table: data}
    return data


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("integration.norm_cap_ratio", 0.5, "write a number of at least 1 or 'off'"),
        ("integration.norm_cap_ratio", -1.0, "write a number of at least 1 or 'off'"),
        ("integration.norm_cap_ratio", "on", "write a number or 'off'"),
        ("integration.norm_cap_ratio", True, "write a number or 'off'"),
        ("integration.norm_cap_ratio", float("inf"), "write a finite number or 'off'"),
        ("integration.beta_max", "x", "write a number"),
        ("integration.gamma", "x", "write a number"),
        ("integration.rule", 3, "write text, in quotes"),
        ("integration.params.radius", [1], "write true or false, a number or text, in quotes"),
        ("integration.params", 3, "write a table: { name = value }"),
        ("integration.prioritizer", 3, "write a table: [integration.prioritizer]"),
        ("integration.prioritizer.enabled", "x", "write true or false"),
        ("reputation.policy.decay", "x", "write a number"),
        ("reputation.policy.decay", [1], "write a number"),
        ("reputation.policy.decay", True, "write a number"),
        ("reputation.policy", 3, "write a table: { name = value }"),
        ("reputation.loss_gate.policy.memory", "x", "write a number"),
        ("reputation", 3, "write a table: [reputation]"),
        ("schedule.rounds_max", 1.5, "write a whole number"),
        ("schedule.rounds_max", "5", "write a whole number, without quotes"),
        ("integration.prioritizer.enabled", "true", "write true or false, without quotes"),
        ("membership.heartbeat_s", 0.0, "write a number of at least 0.01"),
        ("membership.suspicion_s", 0.0, "write a number above 0"),
        ("integration.beta_max", 0.5, "write a number below 0.5"),
        ("node.peers", "x", "write a list, in brackets"),
        ("node.role", "relais", "write 'train' or 'relay'; did you mean 'relay'?"),
        (
            "privacy.mechanism",
            "per_step",
            "write 'per-step' or 'per-release'; did you mean 'per-step'?",
        ),
        ("run.name", "", "string should have at least 1 character"),  # in pydantic's words
        (
            "integration.prioritizer.draws",
            3,
            "remove it; there is no such field (p2pfed init shows them all); did you mean 'draw'?",
        ),
    ],
)
def test_wrong_type_is_said_of_its_field(field: str, value: object, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(nested(field, value))
    assert (caught.value.field, caught.value.value, caught.value.fix) == (field, value, fix)


def test_wrong_entry_of_a_list_is_said_of_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"node": {"peers": ["/ip4/127.0.0.1/tcp/1", 3]}})
    assert (caught.value.field, caught.value.value) == ("node.peers.1", 3)


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("reputation.policy.decay", 2, "must be above 0 and below 1"),
        ("reputation.policy.ban_streak", 2.5, "must be a whole number"),
        ("reputation.policy.peers_max", 0, "must be a whole number, at least 1"),
        ("reputation.loss_gate.policy.memory", 2.0, "must be above 0 and below 1"),
        ("reputation.loss_gate.policy.probe_count", 1, "must be a whole number >= 2"),
        ("reputation.loss_gate.policy.memmory", 0.5, "remove it; there is no such constant, but "),
        ("reputation.policy.dekay", 0.5, "remove it; there is no such constant, but agreement_"),
    ],
)
def test_wrong_constant_is_said_of_its_field(field: str, value: float, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        standing_config(parse(nested(field, value)))
    assert (caught.value.field, caught.value.value) == (field, value)
    assert caught.value.fix.startswith(fix)


def test_constants_that_do_not_fit_together_are_the_fault_of_their_table() -> None:
    config = parse(nested("reputation.policy", {"ban_rounds_first": 2000}))
    with pytest.raises(ConfigError, match=r"ban_rounds_max=1440: must be at least") as caught:
        standing_config(config)
    assert caught.value.field == "reputation.policy"


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("krun", {}),
        ("krun", {"radius": 1.0}),
        ("foo+krum", {}),
        ("nnm", {"radius": 1.0}),
        ("rank-vote", {}),
    ],
)
def test_rules_are_listed_once_at_most(rule: str, params: dict[str, float]) -> None:
    config = parse({"integration": {"rule": rule, "params": params}})
    with pytest.raises(ConfigError) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.rule", rule)
    assert caught.value.fix.count("centered-clipping, fltrust") <= 1


def test_a_synchronous_round_ends_with_its_rows_alone() -> None:
    config = parse({"schedule": {"mode": "synchronous", "integrate": "window"}})
    with pytest.raises(ConfigError) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("schedule.integrate", "window")
    assert "mode = asynchronous" in caught.value.fix


@pytest.mark.parametrize(
    ("tables", "fix"),
    [
        ({"schedule": {"mode": "synchronous"}}, "mode = asynchronous"),
        ({"method": {"name": "seeds"}, "codec": {"name": "operation"}}, "must reach everybody"),
        ({"codec": {"name": "int4"}}, "a codec such as float32"),
    ],
)
def test_some_recipients_are_not_enough_for_all(tables: dict[str, Any], fix: str) -> None:
    schedule = {"recipients": 2, **tables.get("schedule", {})}
    with pytest.raises(ConfigError) as caught:
        assemble(parse({**tables, "schedule": schedule}), ANNA)
    assert (caught.value.field, caught.value.value) == ("schedule.recipients", 2)
    assert fix in caught.value.fix


def test_an_update_has_at_least_one_recipient() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"schedule": {"recipients": 0}})
    assert (caught.value.field, caught.value.value) == ("schedule.recipients", 0)


@pytest.mark.parametrize("table", [{"weights": "max-degree"}, {"degree_max": 4}], ids=str)
def test_the_most_neighbors_go_with_max_degree_alone(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(parse({"integration": table}), ANNA)
    found = caught.value.field, caught.value.value
    assert found == ("integration.degree_max", table.get("degree_max"))
    assert "weights = max-degree" in caught.value.fix


def test_weights_of_a_whole_graph_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(parse({"integration": {"weights": "optimized"}}), ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.weights", "optimized")
    assert "lazy" in caught.value.fix


def test_a_rule_that_gives_rows_one_vote_cannot_weigh_those_that_come_seldom() -> None:
    config = parse({"participation": {"weights": "fedau"}})
    with pytest.raises(ConfigError) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("participation.weights", "fedau")
    assert "nnm+trimmed-mean gives each one vote" in caught.value.fix
    assemble(parse({"participation": {"weights": "fedau"}, "integration": {"rule": "mean"}}), ANNA)


@pytest.mark.parametrize(
    ("tables", "fix"),
    [
        ({"schedule": {"mode": "asynchronous"}}, "mode = synchronous"),
        ({"codec": {"name": "int8"}}, "int8 would round each time"),
        ({"outer": {"name": "noloco"}}, "outer.name = none"),
        ({"method": {"name": "seeds"}, "codec": {"name": "operation"}}, "nobody mixes vectors"),
    ],
)
def test_several_gossip_steps_do_not_go_with_all(tables: dict[str, Any], fix: str) -> None:
    schedule = {"mode": "synchronous", "gossip_steps": 4, **tables.get("schedule", {})}
    with pytest.raises(ConfigError) as caught:
        assemble(parse({**tables, "schedule": schedule}), ANNA)
    assert (caught.value.field, caught.value.value) == ("schedule.gossip_steps", 4)
    assert fix in caught.value.fix


@pytest.mark.parametrize("codec", ["float32", "int4"])
def test_several_gossip_steps_go_with_codecs_that_lose_nothing(codec: str) -> None:
    schedule = {"mode": "synchronous", "gossip_steps": 4}
    assemble(parse({"codec": {"name": codec}, "schedule": schedule}), ANNA)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (("query", "value"), "['query', 'value']"),
        ([1, False], "[1, false]"),
        ({"rank": 2, "on": True}, "{ rank = 2, on = true }"),
        ({}, "{}"),
        (0.5, "0.5"),
    ],
)
def test_values_are_shown_as_files_have_them(value: object, shown: str) -> None:
    assert str(ConfigError("a.b", value, "mend it")) == f"a.b = {shown}: mend it"


def test_choices_and_layers_are_no_python() -> None:
    with pytest.raises(ConfigError, match=r"method\.bits = 3: write one of 1, 2, 4, 8$"):
        create_method("ranks", bits=3)
    layer = torch.nn.Linear(64, 32)
    with pytest.raises(ConfigError, match='write at most 32, the smaller side of the layer "0"'):
        check_rank(64, "0", layer)
