"""The benchmark measures both ways; how fast they are is left to itself."""

import pytest

from benchmarks import seed_ledger_speed
from benchmarks.seed_ledger_speed import section, speed
from p2pfed.updates.seed_ledger import compiled


def test_speed_is_of_wall_time_by_the_median() -> None:
    of_a_second = seed_ledger_speed.SIZE / 1e6
    assert speed([(0.5, 9.0), (1.0, 9.0), (7.0, 9.0)]) == pytest.approx(of_a_second)


def test_section_says_what_was_measured() -> None:
    times = {"numba": (0.1, 0.2), "copy": (0.05, 0.1), "replay": (4.096, 4.0)}
    found = {(4_096, 2): {name: [each] * 7 for name, each in times.items()}}
    text = section(found)
    assert "K = 4,096, 2 threads:" in text
    assert "| numba | 168 (168 to 168) | 50.0% | 84 |" in text
    assert "| replay | 0.001 | 0.0003% | 4 |" in text


@pytest.mark.slow
def test_one_way_is_by_numba_and_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_ledger_speed, "SIZE", 2**17)
    monkeypatch.setattr(compiled, "VALUES_MIN", 1)
    asked = []
    monkeypatch.setattr(compiled, "is_available", lambda: bool(asked.append(1)))
    samples = seed_ledger_speed.measure(64, 1)
    assert set(samples) == {"numba", "numba, new memory", "torch", "copy", "replay"}
    turns = seed_ledger_speed.TURNS
    assert len(asked) == 2 * (turns + 1)  # by numba alone, into old and into new memory
    assert all(len(each) == turns for each in samples.values())
