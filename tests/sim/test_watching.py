"""Watchers of one's own: told of a run that is the same without them, and checked before it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import sim
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.errors import ConfigError
from tests.sim.short import SHORT

ROUNDS = {**SHORT, "fidelity": "rounds", "schedule": {"mode": "synchronous", "rounds_max": 2}}


class Pace(sim.Watcher):
    def __init__(self) -> None:
        self.rounds: list[tuple[int, int]] = []
        self.played: list[sim.RoundPlayed] = []

    def notice_given(self, host: sim.Host, notice: Notice) -> None:
        if isinstance(notice, RoundFinished):
            self.rounds.append((host.index, notice.round))

    def round_played(self, played: sim.RoundPlayed) -> None:
        self.played.append(played)


def test_a_watcher_is_told_and_changes_nothing() -> None:
    pace = Pace()
    assert sim.run(SHORT, watchers=[pace]) == sim.run(SHORT)
    assert sorted(pace.rounds) == [(peer, round) for peer in range(3) for round in range(2)]
    assert not pace.played
    sim.run(ROUNDS, watchers=(pace,))
    assert [it.round for it in pace.played] == [0, 1]


@pytest.mark.parametrize("scenario", [SHORT, ROUNDS], ids=["messages", "rounds"])
@pytest.mark.parametrize(
    ("watchers", "field", "fix"),
    [
        (Pace(), "watchers", "give a list of them, such as [watcher]"),
        ("Pace", "watchers", "give a list of them, such as [watcher]"),
        ([Pace], "watchers.0", "give an object of this class, such as Pace()"),
        ([Pace(), print], "watchers.1", "derives from sim.Watcher"),
        ([object()], "watchers.0", "derives from sim.Watcher"),
    ],
)
def test_what_cannot_watch_is_refused_before_anything_is_done(
    tmp_path: Path, scenario: dict[str, Any], watchers: Any, field: str, fix: str
) -> None:
    folder = tmp_path / "run"
    for run in (sim.run, partial(sim.run_into, folder)):
        with pytest.raises(ConfigError) as caught:
            run(scenario, watchers=watchers)
        assert caught.value.field == field
        assert fix in caught.value.fix
    assert not folder.exists()
