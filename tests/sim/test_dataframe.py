"""A result as a pandas frame."""

import math
import sys
from pathlib import Path

import pytest

import sim
from p2pfed.errors import LocalError
from sim.sweeps.table import MEASURES
from tests.sim.short import SHORT


def test_a_row_per_evaluation() -> None:
    result = sim.run(SHORT)
    frame = result.to_dataframe()
    of_peers = ["peer", "hostile", "device", "speed_ratio"]
    assert list(frame.columns) == [*of_peers, "round", "at_s", "score", "test_score"]
    assert list(frame["peer"]) == [0, 0, 1, 1, 2, 2]
    assert list(frame["round"]) == [0, 1] * 3
    assert list(frame["score"]) == [it.score for peer in result.peers for it in peer.scores]
    assert set(frame["speed_ratio"]) == {1.0}
    assert frame["device"].isna().all()
    assert frame["test_score"].isna().tolist() == [True, False] * 3  # tested at the end


def test_a_sweep_has_a_row_per_run_with_the_fields_that_vary(tmp_path: Path) -> None:
    settings = [{"integration.rule": "median"}, {"topology.nodes": 4}]
    result = sim.sweep(SHORT, tmp_path, settings=settings, seeds=[3, 5])
    frame = result.to_dataframe()
    fields = ["setting", "integration.rule", "topology.nodes", "seed"]
    assert list(frame.columns) == [*fields, *MEASURES]
    assert list(frame["setting"]) == [row.setting.name for row in result.rows for _ in range(2)]
    assert list(frame["integration.rule"]) == ["median", "median", "mean", "mean"]
    assert list(frame["topology.nodes"]) == [3, 3, 4, 4]
    assert list(frame["seed"]) == [3, 5, 3, 5]
    alone = sim.run({**SHORT, "topology": {"name": "ring", "nodes": 4}}, seed=5)
    assert frame["mean_accuracy"][3] == alone.metrics["mean_accuracy"]
    assert all(map(math.isnan, frame["hostile_weight_mass"]))  # nobody lies


def test_without_pandas_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [sim.run(SHORT), sim.sweep(SHORT, tmp_path)]
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in results:
        with pytest.raises(LocalError, match=r"p2pfed\[pandas\]"):
            result.to_dataframe()
