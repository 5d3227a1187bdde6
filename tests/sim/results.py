"""Run folders with chosen numbers, for tests of what is made of them."""

import json
from pathlib import Path
from typing import Any

import tomli_w

from sim.documents import digest_of, document_of, with_overrides
from sim.scenario import load_scenario
from tests.sim.short import SHORT


def write_run(
    folder: Path,
    *,
    seed: int,
    accuracy: float | None,
    overrides: dict[str, Any] | None = None,
    warning: str | None = None,
    files: dict[str, str] | None = None,
    stopped: str = "rounds",
) -> None:
    """Write a run folder as if a simulation had come to an accuracy."""
    document = document_of(load_scenario(with_overrides(SHORT, overrides or {})))
    metrics = {"mean_accuracy": accuracy, "worst_accuracy": accuracy, "hostile_weight_mass": None}
    result = {
        "scenario": "short",
        "seed": seed,
        "scenario_digest": digest_of(document),
        "metrics": {**metrics, "finished": 1.0, "failed": 0.0, "virtual_s": 3.5, "events": 7},
        "peers": [{"hostile": None, "stopped": stopped, "scores": []}],
        "bytes_sent": [100],
        "rows_used": {"honest": 4, "hostile": 0},
        "rejected": {},
        "warning": warning,
        "trace_digest": "00",
    }
    folder.mkdir(parents=True)
    (folder / "scenario.toml").write_text(tomli_w.dumps(document))
    (folder / "program.json").write_text(json.dumps({"files": files or {}}))
    (folder / "result.json").write_text(json.dumps(result))
