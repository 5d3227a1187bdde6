"""What seeds draw: every ingredient of a random world is in some that are played."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import product
from typing import Any, Final

import pytest

from p2pfed.core.config import IntegrationMoment, IntervalAverage, ScheduleMode, UpdateFamily
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.cases import ATTACKS, Case, draw_case
from sim.faults import Crash, Restart
from sim.links import Drawn, Latency

SEEDS: Final = range(200)  # those of which `make test` plays each, in test_swarm.py
SEEDS_OF_PAIRS: Final = range(400)  # pairs are rarer: `make nightly` plays these
CASES_MIN: Final = 3  # with each ingredient; fewer than that and a search hardly meets it

# Where something is drawn -> all that must be drawn there; None where there is nothing.
INGREDIENTS: Final[Mapping[str, set[Any]]] = {
    "topology": {
        *("barabasi-albert", "complete", "dumbbell", "exponential", "geometric"),
        *("k-regular", "line", "ring", "star", "tree"),
    },
    "nodes": set(range(3, 9)),
    "schedule.mode": {ScheduleMode.ASYNCHRONOUS, ScheduleMode.SYNCHRONOUS},
    "schedule.rounds_max": set(range(3, 13)),
    "schedule.deadline_s": {2.0, 5.0},
    "schedule.start_neighbors": {0, 1},
    "schedule.recipients": {None, 1, 2},
    "schedule.integrate": set(IntegrationMoment),
    "schedule.window_s": {0.5, 3.0, 10.0},
    "schedule.arrivals": {1, 3},
    "schedule.staleness_rounds_max": {0, 10},
    "schedule.gossip_steps": {1, 3},
    "payload_bytes": {INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES},
    "link.latency_s": {0.0, 0.02, 0.2},
    "link.bandwidth_bytes_per_s": {None, 1e5, 1e6},
    "link.loss_ratio": {0.0, 0.02},
    "link.latency": set(Latency),
    "link.drawn": set(Drawn),
    "link.queue_bytes_max": {None, 1_000_000},
    "link.reordering_s": {0.0, 0.4},
    "start_spread_s": {0.1, 10.0},
    "relays": {None, "one"},
    "adversaries": {None, *ATTACKS},
    "adversaries.peers": {None, "one", "some"},
    "faults": {
        *(None, "Clog", "Heal", "Leave", "Partition", "Slow"),
        *("Crash of one", "Crash of all", "Restart of one", "Restart of all"),
    },
    "faults.Clog.links": {"one", "some"},
    "faults.Crash of one.silent": {False, True},
    "faults.Crash of one.after_effects": {None, *range(8)},
    "faults.Crash of all.silent": {False, True},
    "faults.Restart of one.lose_disk": {False, True},
    "faults.Partition.one_way": {False, True},
    "faults.Partition.groups.each": {"one", "some"},
    "faults.Slow.speed_ratio": {0.1, 0.5, 4.0},
    "family": set(UpdateFamily),
    "membership.heartbeat_s": {1.0, 2.0},
    "membership.suspicion_s": {4.0, 15.0},
    "membership.redial_s_max": {8.0, 30.0},
    "clocks_ahead_s": {None, 0.0, 3.0, 1e6},
    "participation": {None, "ParticipationConfig"},
    "participation.average": set(IntervalAverage),
    "participation.interval_max": {3, 20},
    "endless": {None, "one", "some", "all"},
    "training_s": {1.0, 3.0},
    "lines": {None, "PeerLine"},
    "lines.upload_bytes_per_s": {None, 1e5, 1e6},
    "lines.download_bytes_per_s": {None, 1e5, 1e6},
    "clock_rates": {None, 0.67, 1.0, 1.33},
}


# Drawn from a range.
NUMBERS: Final = {
    "seed",
    *(f"faults.{kind}.at_s" for kind in ("Clog", "Heal", "Leave", "Partition")),
    *(f"faults.{kind} of {whom}.at_s" for kind in ("Crash", "Restart") for whom in ("all", "one")),
    "faults.Clog.for_s",
}


@cache
def drawn() -> dict[str, Counter[Any]]:
    """Return in how many cases each value was drawn, by where."""
    found: dict[str, Counter[Any]] = {}
    for each in all_ingredients(SEEDS):
        for place, value in each:
            found.setdefault(place, Counter())[value] += 1
    return found


def all_ingredients(seeds: range) -> list[set[tuple[str, Any]]]:
    cases = [draw_case(seed) for seed in seeds]
    return [set(ingredients(case, "", case.nodes)) for case in cases]


def ingredients(value: Any, place: str, nodes: int) -> Iterator[tuple[str, Any]]:
    """Yield all that is in a case, and where; peers as how many there are, not as which."""
    if isinstance(value, dict):
        yield f"{place}.peers", how_many(len(value), nodes)
        value = tuple(value.values())
    if isinstance(value, tuple) and value and not isinstance(value[0], int | tuple):
        for each in value:
            yield from ingredients(each, place, nodes)
    elif isinstance(value, tuple):
        yield place, how_many(len(value), nodes)
        for each in value:
            if isinstance(each, tuple):
                yield from ingredients(each, f"{place}.each", nodes)
    elif is_dataclass(value):
        name = type(value).__name__
        # Of one peer they are a churn's, of all an outage's.
        if isinstance(value, Crash | Restart):
            name += f" of {how_many(len(value.peers), nodes)}"
        yield place, name
        within = f"{place}.{name}." if place == "faults" else f"{place}." if place else ""
        for field in fields(value):
            yield from ingredients(getattr(value, field.name), within + field.name, nodes)
    else:
        yield place, value


def how_many(count: int, nodes: int) -> str | None:
    return {0: None, 1: "one", nodes: "all"}.get(count, "some")


def test_every_ingredient_is_in_some_worlds() -> None:
    found = {place: drawn().get(place, Counter()) for place in INGREDIENTS}
    assert {place: set(values) for place, values in found.items()} == INGREDIENTS
    rare = {
        (place, value): count
        for place, values in found.items()
        for value, count in values.items()
        if count < CASES_MIN
    }
    assert rare == {}


def test_whatever_is_drawn_is_known_as_an_ingredient() -> None:
    places = {place for place, values in drawn().items() if len(values) > 1}
    assert places == INGREDIENTS.keys() | NUMBERS
    # A field that is the same in all cases is none, or was forgotten.
    assert {place.partition(".")[0] for place in places} == {it.name for it in fields(Case)}


@pytest.mark.parametrize(
    "place", ["adversaries", "faults", "payload_bytes", "schedule.mode", "topology"]
)
def test_every_family_meets_every_ingredient(place: str) -> None:
    met = {
        (family, value)
        for each in all_ingredients(SEEDS_OF_PAIRS)
        for family in (value for where, value in each if where == "family")
        for value in (value for where, value in each if where == place)
    }
    assert set(product(UpdateFamily, INGREDIENTS[place])) == met


def test_every_graph_can_be_made() -> None:
    for seed in SEEDS:
        case = draw_case(seed)
        assert case.graph().number_of_nodes() == case.nodes
