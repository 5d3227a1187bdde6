"""Values that have no effect, because what heeds them is off, and bounds that cross."""

from typing import Any

import pytest

from p2pfed.config.coherence import check_coherence, idle_fields
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError
from tests.core.peers import ANNA

PRIORITIZER = ("integration.prioritizer.enabled", True)
REPUTATION = ("reputation.enabled", True)
GATE = ("reputation.loss_gate.enabled", True)
WEIGHTS = ("participation.weights", "fedau")


@pytest.mark.parametrize(
    ("field", "value", "switch"),
    [
        ("integration.prioritizer.model_count_max", 7, PRIORITIZER),
        ("integration.prioritizer.exploration_ratio", 0.0, PRIORITIZER),
        ("integration.prioritizer.draw", "nearest", PRIORITIZER),
        ("reputation.policy", {"decay": 0.5}, REPUTATION),
        ("reputation.groups", "address", REPUTATION),
        ("reputation.quotas", True, REPUTATION),
        ("reputation.loss_gate.enabled", True, REPUTATION),
        ("reputation.loss_gate.policy", {"probe_count": 4}, GATE),
        ("participation.base", 0.3, WEIGHTS),
        ("participation.weight_max", 2.0, WEIGHTS),
        ("participation.interval_max", 9, WEIGHTS),
        ("schedule.window_s", 5.0, ("schedule.integrate", "window")),
        ("schedule.arrivals", 3, ("schedule.integrate", "arrivals")),
        ("schedule.plateau_delta", 0.1, ("schedule.plateau_evaluations", 3)),
    ],
)
def test_a_value_that_nothing_heeds_is_refused(
    field: str, value: Any, switch: tuple[str, Any]
) -> None:
    config = parse({}, overrides={field: value})
    with pytest.raises(ConfigError) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert caught.value.fix.startswith(f"set {switch[0]}")
    fields = dict([REPUTATION, switch])
    assert not list(idle_fields(parse({}, overrides={**fields, field: value})))


@pytest.mark.parametrize("moment", ["window", "arrivals"])
def test_what_another_moment_heeds_is_refused(moment: str) -> None:
    fields = {"schedule.integrate": moment, "schedule.window_s": 5.0, "schedule.arrivals": 3}
    with pytest.raises(ConfigError) as caught:
        check_coherence(parse({}, overrides=fields))
    other = {"window": "schedule.arrivals", "arrivals": "schedule.window_s"}[moment]
    assert caught.value.field == other


@pytest.mark.parametrize("field", ["schedule.plateau_evaluations", "schedule.test_every_rounds"])
def test_who_never_evaluates_has_no_scores_to_go_by(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(parse({}, overrides={field: 2, "schedule.evaluate_every_rounds": 0}), ANNA)
    assert (caught.value.field, caught.value.value) == (field, 2)
    assert caught.value.fix.startswith("set schedule.evaluate_every_rounds = 1 or more as well")
    check_coherence(parse({}, overrides={field: 2}))


def test_defaults_that_somebody_wrote_are_no_wish() -> None:
    assert not list(
        idle_fields(parse({"participation": {"base": 0.5}, "schedule": {"arrivals": 1}}))
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"redial_s_min": 40.0},
            r"membership\.redial_s_min = 40\.0: write at most redial_s_max = 30",
        ),
        (
            {"redial_s_max": 0.1},
            r"membership\.redial_s_max = 0\.1: write at least redial_s_min = 0\.5",
        ),
        (
            {"ban_s": 9.0, "ban_s_max": 8.0},
            r"membership\.ban_s = 9\.0: write at most ban_s_max = 8",
        ),
        ({"ban_s_max": 8.0}, r"membership\.ban_s_max = 8\.0: write at least ban_s = 60"),
        (
            {"suspicion_s": 2.0},
            r"membership\.suspicion_s = 2\.0: write more than heartbeat_s = 2",
        ),
        (
            {"heartbeat_s": 20.0},
            r"membership\.heartbeat_s = 20\.0: write less than suspicion_s = 15",
        ),
    ],
)
def test_bounds_that_cross_are_refused(fields: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        assemble(parse({"membership": fields}), ANNA)


def test_bounds_that_meet_do_not_cross() -> None:
    table = {"redial_s_min": 1.0, "redial_s_max": 1.0, "ban_s": 2.0, "ban_s_max": 2.0}
    check_coherence(parse({"membership": {**table, "suspicion_s": 2.1}}))
