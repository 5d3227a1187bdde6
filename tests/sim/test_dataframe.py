"""A result as a pandas frame."""

import sys

import pytest

import sim
from p2pfed.errors import LocalError
from tests.sim.short import SHORT


def test_a_row_per_evaluation() -> None:
    result = sim.run(SHORT)
    frame = result.to_dataframe()
    assert list(frame.columns) == ["peer", "hostile", "round", "at_s", "score", "test_score"]
    assert list(frame["peer"]) == [0, 0, 1, 1, 2, 2]
    assert list(frame["round"]) == [0, 1] * 3
    assert list(frame["score"]) == [it.score for peer in result.peers for it in peer.scores]
    assert frame["test_score"].isna().tolist() == [True, False] * 3  # tested at the end


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = sim.run(SHORT)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LocalError, match=r"p2pfed\[pandas\]"):
        result.to_dataframe()
