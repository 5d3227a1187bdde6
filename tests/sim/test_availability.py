"""When peers are there, as a scenario or a trace says, and what cannot be said of it."""

import math
from pathlib import Path

import pytest

import sim
from p2pfed.errors import ConfigError
from sim.availability import Absence, Presence, absences, read_trace, starts_s
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


HEAD = "peer,from_s,until_s\n"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", f"is empty; write the head {HEAD[:-1]}, and then lines such as 0,0,60"),
        (HEAD, "has a head and no interval; write lines such as 0,0,60"),
        ("peer,from_s\n1,2\n", f"line 1: the head is 'peer,from_s'; write {HEAD[:-1]}"),
        ("1,0,10\n", f"line 1: the head is '1,0,10'; write {HEAD[:-1]}"),
        (
            "peer;from_s;until_s\n1;0;10\n",
            "line 1: 'peer;from_s;until_s' has semicolons; write commas between fields, and points "
            "in numbers",
        ),
        (
            HEAD + "1;0,5;2\n",
            "line 2: '1;0,5;2' has semicolons; write commas between fields, and points in numbers",
        ),
        (
            HEAD + "1\t0\t2\n",
            r"line 2: '1\t0\t2' has tabs; write commas between fields, and points in numbers",
        ),
        (
            HEAD + "\n4,1,2\n",
            "line 3: peer = '4' is no peer of the scenario; write its number, 0 to 3",
        ),
        (
            HEAD + "1,0,1\n-1,1,2\n",
            "line 3: peer = '-1' is no peer of the scenario; write its number, 0 to 3",
        ),
        (
            HEAD + "Rome,1,2\n",
            "line 2: peer = 'Rome' is no peer of the scenario; write its number, 0 to 3",
        ),
        (
            HEAD + "1,2,1\n",
            "line 2: until_s = '1' is not after from_s = '2'; write a later one, or leave it out "
            "for good",
        ),
        (HEAD + "1,nan,2\n", "line 2: from_s = 'nan' is no time; write seconds from 0 to 1e+09"),
        (HEAD + "1,soon,2\n", "line 2: from_s = 'soon' is no time; write seconds from 0 to 1e+09"),
        (
            HEAD + "1,2e9,\n",
            "line 2: from_s = '2e9' is no time; write seconds from 0 to 1e+09",
        ),
        (HEAD + "1,-2,2\n", "line 2: from_s = '-2' is no time; write seconds from 0 to 1e+09"),
        (
            HEAD + "1,0,inf\n",
            "line 2: until_s = 'inf' is no time; write seconds from 0 to 1e+09, or leave it out "
            "for good",
        ),
        (
            HEAD + "1,0\n",
            f"line 2: '1,0' has 2 fields; write three, {HEAD[:-1]}, the last one empty for good",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, fix: str) -> None:
    assert fix_of(tmp_path / "bad.csv", text) == fix


OBJECT = '{"peer": 0, "from_s": 0, "until_s": 60}'


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", f"is empty; write lines: {OBJECT}"),
        (
            '{"peer": 1.5, "from_s": 0}',
            "line 1: peer = 1.5 is no peer of the scenario; write its number, 0 to 3",
        ),
        (
            '{"peer": true, "from_s": 0}',
            "line 1: peer = True is no peer of the scenario; write its number, 0 to 3",
        ),
        ('{"peer": 1}', f"line 1: from_s is missing; write {OBJECT}"),
        ('{"from_s": 1}', f"line 1: peer is missing; write {OBJECT}"),
        (
            '{"peer": 1, "from_s": [0]}',
            "line 1: from_s = [0] is no time; write seconds from 0 to 1e+09",
        ),
        (
            '{"peer": 1, "from_s": 3, "until_s": 3.0}',
            "line 1: until_s = 3.0 is not after from_s = 3; write a later one, or leave it out for "
            "good",
        ),
        ("[1]", f"line 1: '[1]' is no JSON object; write {OBJECT}"),
        ("{" * 3, f"line 1: '{{{{{{' is no JSON object; write {OBJECT}"),
        (
            "1,0,10",
            f"line 1: '1,0,10' is no JSON object; write {OBJECT}; or end the file's name in .csv",
        ),
        (
            '{"peer": 2, "from_s": 0}\n{"peer": 1, "from_s": 0, "until": 2}\n',
            "line 2: there is no key 'until'; write peer, from_s, until_s; did you mean 'until_s'?",
        ),
    ],
)
def test_what_is_wrong_with_lines_of_objects_is_said(tmp_path: Path, text: str, fix: str) -> None:
    assert fix_of(tmp_path / "bad.jsonl", text) == fix


def fix_of(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_trace(path, field="availability.0.path", nodes=4)
    assert (caught.value.field, caught.value.value) == ("availability.0.path", str(path))
    return caught.value.fix


def test_objects_in_a_file_that_is_named_otherwise(tmp_path: Path) -> None:
    fix = fix_of(tmp_path / "trace.json", '{"peer": 1, "from_s": 0}\n')
    assert fix.endswith("; write peer,from_s,until_s; or end the file's name in .jsonl")


@pytest.mark.parametrize("name", ["phones.csv", "phones.JSONL"])
def test_files_as_spreadsheets_write_them_are_read(tmp_path: Path, name: str) -> None:
    text = '{"peer": 1, "from_s": 0}\r\n\r\n' if name.endswith("L") else HEAD + "1, 0, \r\n\r\n"
    (tmp_path / name).write_text(text, encoding="utf-8-sig", newline="")
    found = read_trace(tmp_path / name, field="path", nodes=4)
    assert found == [Presence(peer=1, from_s=0.0, until_s=None)]


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
