"""Results of models whose quality is no number."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from sim.documents import with_overrides
from sim.replaying import replay
from sim.result import PeerReport, Score, accuracies
from sim.run_folder import read_run, run_into
from sim.sweeps.table import measures_of, spread
from tests.sim.short import SHORT

NAN = float("nan")


def unmeasurable_digits() -> Task:
    return replace(load_task("digits", None), metric=lambda _outputs, _labels: torch.tensor(NAN))


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_results_are_json_that_every_program_reads(fidelity: str, tmp_path: Path) -> None:
    changed = {"run.task": f"{__name__}:unmeasurable_digits", "fidelity": fidelity}
    if fidelity == "rounds":
        changed["schedule.mode"] = "synchronous"
    run_into(tmp_path, with_overrides(SHORT, changed))
    text = (tmp_path / "result.json").read_text()
    found = json.loads(text, parse_constant=no_constant)
    assert found["metrics"]["mean_accuracy"] is found["metrics"]["worst_accuracy"] is None
    assert found["peers"][0]["scores"][-1]["test_score"] is None
    assert measures_of(read_run(tmp_path).result)["worst_accuracy"] is None
    assert replay(tmp_path).is_same


@pytest.mark.parametrize("order", [sorted, reversed], ids=["first", "last"])
def test_one_diverged_model_leaves_no_mean_and_no_worst(
    order: Callable[[list[float]], list[float]],
) -> None:
    scores = [Score(round=0, at_s=1.0, score=0.5, test_score=it) for it in order([NAN, 0.5])]
    found = accuracies([PeerReport(scores=[score]) for score in scores])
    assert found == {"mean_accuracy": None, "worst_accuracy": None, "tested": 1.0}


def test_sweeps_leave_out_what_is_no_number() -> None:
    result = {"metrics": dict.fromkeys(["mean_accuracy", "worst_accuracy"], NAN)}
    result["metrics"] |= {"hostile_weight_mass": None, "finished": 1.0, "virtual_s": 3.5}
    found = measures_of({**result, "peers": [], "bytes_sent": []})
    assert spread([found["mean_accuracy"], 0.5, found["mean_accuracy"]]) == spread([0.5])
