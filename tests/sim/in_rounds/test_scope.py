"""What rounds do not have is refused when a scenario is loaded, with field, value and fix."""

from typing import Any

import pytest

from p2pfed.errors import ConfigError
from sim.documents import with_overrides
from sim.in_rounds.translation import rounds_config
from sim.scenario import load_scenario

SCENARIO: dict[str, Any] = {
    "fidelity": "rounds",
    "training": {"threads": 1, "device": "cpu"},
    "schedule": {"mode": "synchronous", "rounds_max": 2},
    "topology": {"name": "complete", "nodes": 4},
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("topology.relays", [1]),
        ("devices", [{"share": 0.5, "speed_ratio": 2.0}]),
        ("availability", [{"peers": [1], "until_s": 3.0}]),
        ("variants", [{"peers": [1], "fields": {"training.batch_size": 8}}]),
        ("faults", [{"kind": "crash", "at_s": 1.0, "peers": [1]}]),
        ("network.latency_s", 0.5),
        ("network.loss_ratio", 0.1),
        ("compute.training_s", 2.0),
        ("compute.clock_spread_s", 2.0),
        ("schedule.mode", "asynchronous"),
        ("schedule.rounds_max", 0),
        ("schedule.time_s_max", 5.0),
        ("schedule.plateau_evaluations", 3),
        ("schedule.integrate", "window"),
        ("schedule.recipients", 2),
        ("method.name", "seeds"),
        ("method.name", "sparse-sum"),
        ("outer.name", "noloco"),
        ("privacy.enabled", True),
        ("integration.degree_max", 4),
        ("participation.weights", "fedau"),
        ("reputation.groups", "address"),
        ("reputation.quotas", True),
        ("training.device", "cuda:0"),
        ("training.dtype", "bfloat16"),
        ("limits.neighbors_max", 3),
    ],
)
def test_what_rounds_do_not_have_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(with_overrides(SCENARIO, {field: value}))
    assert (caught.value.field, caught.value.value) == (field, value)
    assert "messages" in caught.value.fix


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("until_s", 5.0),
        ("schedule.deadline_s", 0.5),
        ("schedule.start_neighbors", 2),
        ("schedule.staleness_rounds_max", 1),
        ("membership.suspicion_s", 3.0),
        ("training.evaluation_batch_size", 8),
        ("network.latency_s", 0.02),
    ],
)
def test_bounds_that_nobody_reaches_and_defaults_are_not(field: str, value: Any) -> None:
    load_scenario(with_overrides(SCENARIO, {field: value}))


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ("garbage", 'in rounds there are no frames; write fidelity = "messages", or write one of'),
        ("replay", 'in rounds there are no frames; write fidelity = "messages", or write one of'),
        ("edge-control", "write one of adaptive-blend, "),  # no peer sends rankings
        ("sign-flipp", "write one of adaptive-blend, "),
    ],
)
def test_lies_that_rounds_do_not_have_are_refused(kind: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(with_overrides(SCENARIO, {"adversaries": [{"peer": 1, "kind": kind}]}))
    assert (caught.value.field, caught.value.value) == ("adversaries.0.kind", kind)
    assert caught.value.fix.startswith(fix)
    assert kind != "sign-flipp" or caught.value.fix.endswith("did you mean 'sign-flip'?")


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"kind": "alie", "fear": 3}, "adversaries.0.fear"),
        ({"kind": "swap-labels", "first": "a", "second": 2}, "adversaries.0.first"),
        ({"kind": "scaled-difference", "scale": "x"}, "adversaries.0.scale"),
        ({"kind": "silent", "scale": 2.0}, "adversaries.0.attack_params"),
    ],
)
def test_parameters_of_lies_are_checked(table: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(with_overrides(SCENARIO, {"adversaries": [{"peer": 1, **table}]}))
    assert caught.value.field == field


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_a_topology_that_changes_needs_rounds(fidelity: str) -> None:
    changing = {"name": "random-matchings", "nodes": 4}
    scenario = with_overrides(SCENARIO, {"fidelity": fidelity, "topology": changing})
    if fidelity == "rounds":
        assert load_scenario(scenario).world.topology.name == "random-matchings"
        return
    with pytest.raises(ConfigError, match=r"topology\.name = 'random-matchings'.*rounds"):
        load_scenario(scenario)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("integration.rule", "krumm", "integration.rule"),
        ("integration.weights", "fair", "integration.weights"),
        ("integration.params", {"radius": 3}, "integration.params.radius"),
        ("method.name", "fool", "method.name"),
        ("codec.name", "float33", "codec.name"),
        ("share.name", "fair", "share.name"),
        ("run.task", "digit", "run.task"),
        ("method.name", "lora-fair", "method.name"),
        ("training.step_rule.learning_rate", -1.0, "training.step_rule.learning_rate"),
    ],
)
def test_other_fields_are_refused_as_those_of_real_peers(
    field: str, value: Any, named: str
) -> None:
    scenario = load_scenario(with_overrides(SCENARIO, {field: value}))
    with pytest.raises(ConfigError) as caught:
        rounds_config(scenario)
    assert caught.value.field == named


@pytest.mark.slow
def test_somebody_has_to_be_honest() -> None:
    scenario = with_overrides(SCENARIO, {"adversaries": [{"share": 1.0, "kind": "sign-flip"}]})
    with pytest.raises(ConfigError, match=r"^adversaries = 4: leave at least one honest peer"):
        rounds_config(load_scenario(scenario))


@pytest.mark.slow
def test_liars_are_those_that_messages_would_have() -> None:
    tables = [{"peer": 2, "kind": "silent"}, {"share": 0.25, "kind": "shift-labels"}]
    scenario = load_scenario(
        with_overrides(SCENARIO, {"adversaries": [tables[0], {**tables[1], "class_count": 10}]})
    )
    lies = rounds_config(scenario, seed=4).lies
    assert lies.keys() == scenario.world.liars(seed=4).keys()
    assert lies[2].attack == "silent"
    (other,) = lies.keys() - {2}
    assert (lies[other].data_attack, lies[other].attack) == ("shift-labels", "none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "compute"), [("sgd", "batched"), ("adamw", "sequential")], ids=str
)
def test_rules_that_count_steps_are_not_batched_where_steps_vary(rule: str, compute: str) -> None:
    varied = {"training.steps_per_round_min": 2, "training.step_rule.name": rule}
    assert rounds_config(load_scenario(with_overrides(SCENARIO, varied))).compute == compute


def test_a_misspelt_topology_is_told_of_all_that_rounds_know() -> None:
    changing = {"name": "epidemix", "nodes": 4}
    with pytest.raises(ConfigError, match=r"k-regular.*; or of those that change: epidemic"):
        load_scenario(with_overrides(SCENARIO, {"topology": changing}))


def test_all_that_rounds_do_not_have_is_told_at_once() -> None:
    changes = {"network.latency_s": 1.0, "devices": [{"share": 0.5}], "limits.neighbors_max": 3}
    with pytest.raises(ConfigError) as caught:
        load_scenario(with_overrides(SCENARIO, changes))
    assert caught.value.field == "devices"
    for field in ("network.latency_s", "limits.neighbors_max", 'fidelity = "messages"'):
        assert field in caught.value.fix
