"""When peers are there, as a scenario or a trace says, and what cannot be said of it."""

import math
from pathlib import Path

import pytest

import sim
from p2pfed.errors import ConfigError
from sim.availability import Absence, Presence, absences, starts_s
from sim.building import draw_faults
from sim.faults import Crash, Restart
from sim.scenario import load_scenario
from tests.sim.short import make


def test_peers_are_away_before_between_and_after_their_times() -> None:
    presences = [
        Presence(peer=0, from_s=30.0, until_s=None),
        Presence(peer=0, from_s=5.0, until_s=10.0),
        Presence(peer=1, from_s=0.0, until_s=20.0),
    ]
    found = absences(presences, silent=True)
    assert found == [
        Absence(peer=0, from_s=0.0, until_s=5.0, silent=True),
        Absence(peer=0, from_s=10.0, until_s=30.0, silent=True),
        Absence(peer=1, from_s=20.0, until_s=math.inf, silent=True),
    ]
    assert starts_s(found) == {0: 5.0}


def test_times_that_touch_are_one() -> None:
    presences = [
        Presence(peer=0, from_s=10.0, until_s=20.0),
        Presence(peer=0, from_s=0.0, until_s=10.0),
    ]
    [absence] = absences(presences, silent=True)
    assert absence == Absence(peer=0, from_s=20.0, until_s=math.inf, silent=True)


@pytest.mark.parametrize("silent", [False, True])
def test_machines_go_dark_or_close_their_connections(silent: bool) -> None:
    scenario = load_scenario(make(availability=[{"peers": [1], "until_s": 5.0, "silent": silent}]))
    assert draw_faults(scenario, 0) == [Crash(at_s=5.0, peers=(1,), silent=silent)]


TRACES = {
    "trace.csv": "peer,from_s,until_s\n2,30,\n1,0,10\n1,20,40\n1,35,50\n",
    "trace.jsonl": """{"peer": 2, "from_s": 30}
{"peer": 1, "from_s": 0.0, "until_s": 10}
{"peer": 1, "from_s": 20, "until_s": 40}
{"peer": 1, "from_s": 35, "until_s": 50}
""",
}


@pytest.mark.parametrize("name", TRACES)
def test_peers_come_and_go_as_a_trace_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TRACES[name], encoding="utf-8")
    path = tmp_path / "churn.toml"
    path.write_text(f'[[availability]]\npath = "{name}"\n', encoding="utf-8")
    scenario = load_scenario(path)
    assert draw_faults(scenario, 0) == [
        Crash(at_s=10.0, peers=(1,), silent=True),
        Restart(at_s=20.0, peers=(1,)),
        Crash(at_s=50.0, peers=(1,), silent=True),
    ]
    [(_, presences)] = scenario.world.presences()
    assert starts_s(absences(presences, silent=True)) == {2: 30.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "peer,from_s\n1,2\n",
        "peer,from_s,until_s\n",
        "peer,from_s,until_s\n4,1,2\n",
        "peer,from_s,until_s\n-1,1,2\n",
        "peer,from_s,until_s\n1,2,1\n",
        "peer,from_s,until_s\n1,nan,2\n",
        "peer,from_s,until_s\n1,0,inf\n",
        "peer,from_s,until_s\n1,0\n",
        '{"peer": 1.5, "from_s": 0}',
        "[1]",
        "{" * 10,
    ],
)
def test_a_trace_that_cannot_be_used_names_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / ("bad.jsonl" if text[:1] in ("{", "[") else "bad.csv")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line \d+ is no interval|has no interval") as caught:
        load_scenario(make(availability=[{"path": str(path)}]))
    assert caught.value.field == "availability.0.path"


def test_an_unknown_key_of_a_trace_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "phones.jsonl"
    path.write_text('{"peer": 2, "from_s": 0}\n{"peer": 1, "from_s": 0, "until": 2}\n', "utf-8")
    fix = "line 2 has the unknown key 'until'; write peer, from_s, until_s; did you mean 'until_s'?"
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(availability=[{"path": str(path)}]))
    found = caught.value
    assert (found.field, found.value, found.fix) == ("availability.0.path", str(path), fix)


def test_a_trace_may_be_longer_than_the_run_but_no_peer_begin_after_it(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    path.write_text("peer,from_s,until_s\n1,10,\n2,30,\n1,60,\n", encoding="utf-8")
    table = {"path": str(path)}
    load_scenario(make(availability=[table], until_s=40.0))
    with pytest.raises(ConfigError, match="peer 2 comes at 30 s, and all ends at until_s = 30"):
        load_scenario(make(availability=[table], until_s=30.0))
    fix = "begins at 10 s, and all ends at until_s = 10; name another trace, or write a later end"
    with pytest.raises(ConfigError, match=fix) as caught:
        load_scenario(make(availability=[table], until_s=10.0))
    assert caught.value.field == "availability.0.path"


def test_a_late_joiner_takes_part_and_is_waited_for() -> None:
    tables = {
        "training": {"steps_per_round": 1, "threads": 1},
        "schedule": {"rounds_max": 4},
        "topology": {"name": "complete", "nodes": 3},
        "availability": [{"peers": [2], "from_s": 20.0}],
        "devices": [{"peers": [0], "speed_ratio": 2.0}],
    }
    result = sim.run(make(**tables), seed=0)
    assert [report.rounds for report in result.peers] == [4, 4, 4]
    assert result.metrics["virtual_s"] > 20.0
