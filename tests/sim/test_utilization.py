"""How much of the time peers on home lines train, and that stubs stand for what codecs make."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import utilization
from benchmarks.utilization_report import document, missed
from benchmarks.utilization_updates import UPDATES, Costs, costs_of, make_payload, measure
from benchmarks.utilization_world import Setting, Utilization, simulate

pytestmark = pytest.mark.interpreted  # its payloads are maps of memory

# Of one core of the machine of docs/results/utilization.md, rounded up.
COSTS = Costs(publish_s=3.0, read_s=0.12, integrate_s={15: 2.0})


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_sparse_sum_leaves_95_percent_of_the_time_for_training(mode: str) -> None:
    # A tenth of the record's 40 seconds per step: the shorter rounds are, the less is left.
    found = simulate(Setting(mode=mode, step_s=4.0), COSTS, rounds=1)
    assert found.worst >= 0.95
    assert found.updates == 15.0


@pytest.mark.slow
def test_peers_that_publish_together_fill_all_their_lines() -> None:
    found = simulate(Setting(graph="complete", step_s=1.0), rounds=1)
    at_best_s = 15 * UPDATES["sparse-sum"].payload_bytes / 12.5e6
    assert found.round_s - 30.0 < 1.5 * at_best_s


@pytest.mark.slow
@pytest.mark.parametrize("name", UPDATES)
def test_stubs_have_the_size_that_the_codec_makes_of_42_million_parameters(name: str) -> None:
    assert len(make_payload(name)) == UPDATES[name].payload_bytes


@pytest.mark.parametrize("name", UPDATES)
def test_what_is_measured_of_an_update_says_how_long_a_stub_takes(name: str) -> None:
    found = measure(name, (4, 15), values=10_000)
    assert found["payload_bytes"] == len(make_payload(name, 10_000))
    costs = costs_of(found)
    assert sorted(costs.integrate_s) == [4, 15]
    assert costs.publish_s > 0.0


@pytest.mark.slow
def test_shares_of_the_time_are_of_the_counted_rounds() -> None:
    costs = Costs(publish_s=5.0, read_s=0.0, integrate_s={15: 10.0})
    found = simulate(Setting(mode="asynchronous", step_s=1.0), costs, rounds=1)
    assert found.round_s == pytest.approx(45.0)
    assert found.training == pytest.approx([30.0 / 45.0] * 16)
    assert found.working == pytest.approx(15.0 / 45.0)
    assert found.age_s == pytest.approx(45.0 + 10.0, abs=0.2)  # integrated at the end of the next


def cell(share: float) -> Utilization:
    return Utilization(
        training=(1.0, share),
        working=0.01,
        round_s=1_234.5,
        sent_bytes=12.3e6,
        updates=15.0,
        age_s=2.5,
    )


def measured(name: str = "sparse-sum", **changes: Any) -> dict[str, dict[str, Any]]:
    found = {
        "payload_bytes": UPDATES[name].payload_bytes,
        "publish_s": 3.0,
        "read_s": 0.1,
        "integrate_s": {"15": 2.0},
    }
    return {name: found | changes}


def test_the_target_is_of_the_sparse_sum_with_the_steps_of_the_record() -> None:
    cells = {
        Setting(): cell(0.949),
        Setting(step_s=1.0): cell(0.5),
        Setting(jitter_ratio=0.1): cell(0.5),
        Setting(update="lora, int4"): cell(0.5),
    }
    assert missed(measured(), cells) == ["sparse-sum, 4-regular, synchronous, seed 0: 94.9%"]
    assert missed(measured(), {Setting(): cell(0.95)}) == []


def test_stubs_of_another_size_are_missed() -> None:
    (line,) = missed(measured(payload_bytes=7), {})
    assert line == "sparse-sum: stubs of 820,084 bytes, the codec makes 7"


def test_a_row_tells_what_becomes_of_the_time() -> None:
    cells = {replace(Setting(), step_s=step_s): cell(0.96) for step_s in (1.0, 4.0, 10.0, 40.0)}
    text = document(measured(), cells, {"cpus": 2})
    row = "| `sparse-sum` | 4-regular | synchronous | 98.00% | 96.00% | 1.00% | 1.00% | 1,234.5 |"
    assert f"{row} 12.3 | 15.0 | 2.5 |" in text
    assert "Missed: nothing." in text
    assert "94.5%" in text


def test_a_part_is_printed_and_made_of_what_the_record_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.jsonl"
    settings = utilization.settings("sparse-sum", "complete")
    entries = [
        {"update": "sparse-sum", "found": measured()["sparse-sum"]},
        *({"setting": asdict(it), "found": asdict(cell(0.96))} for it in settings),
    ]
    lines = (json.dumps(it | {"versions": {"code": "1"}}) for it in entries)
    record.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(utilization, "versions", lambda: {"code": "1"})
    monkeypatch.setattr(utilization, "RECORD", record)
    monkeypatch.setattr(utilization, "DOCUMENT", tmp_path / "utilization.md")
    assert utilization.main(["--update", "sparse-sum", "--graph", "complete"]) == 0
    assert "| `sparse-sum` | complete | asynchronous | 98.00% |" in capsys.readouterr().out
    assert not (tmp_path / "utilization.md").exists()
