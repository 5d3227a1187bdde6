"""Accuracy against bytes: the command runs on digits, and its document says what was measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bytes_report
from benchmarks.bytes_cells import Cell, run_cell
from benchmarks.bytes_lines import BENCHES, SEEDS, Bench, Claim
from benchmarks.bytes_table import cells, load, main, parse, tuning_cells
from p2pfed.learn.tasks import load_task
from p2pfed.updates.registry import create_codec, create_method
from sim.scenario import load_scenario

EXACT, INT4 = "lora rank=8 / float32", "lora rank=8 / int4"


@pytest.mark.slow
def test_digits_give_a_table_a_plot_and_the_same_numbers_again(tmp_path: Path) -> None:
    store = tmp_path / "bytes.jsonl"
    common = ["--task", "digits", "--seeds", "0", "--store", str(store), "--out", str(tmp_path)]
    main([*common, "--lines", EXACT, INT4])
    text = (tmp_path / "bytes-digits.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| lora ")]
    assert len(rows) == 2
    assert {row.count("|") for row in rows} == {19}
    plot = (tmp_path / "bytes-digits.svg").read_bytes()
    assert b"int4" in plot
    exact, int4 = [json.loads(line)["result"] for line in store.read_text().splitlines()]
    assert exact["bytes_per_peer"] > 6 * int4["bytes_per_peer"]
    assert int4["mean_accuracy"] > exact["mean_accuracy"] - 0.02
    assert exact["payload_bytes_per_peer"] == 4 * 20 * exact["update_bytes"]
    header_bytes = exact["signed_update_bytes"] - exact["update_bytes"]
    assert 200 < header_bytes < 300
    assert exact["mean_test_loss"] == pytest.approx(int4["mean_test_loss"], rel=0.1)
    main([*common, "--redo", "--lines", INT4])
    *_, again = [json.loads(line)["result"] for line in store.read_text().splitlines()]
    assert again == int4
    assert (tmp_path / "bytes-digits.md").read_text() == text
    assert (tmp_path / "bytes-digits.svg").read_bytes() == plot


@pytest.mark.slow
def test_more_peers_relay_more_of_a_ledger_and_write_as_much() -> None:
    runs = {
        peers: run_cell(
            Cell(
                task="digits",
                line="projected / operation",
                seed=0,
                peers=peers,
                is_ring=True,
                rounds=2,
                task_options={"hidden_size": 16},
            )
        )["result"]
        for peers in (3, 6)
    }
    own = {peers: run["own_bytes_per_peer"] for peers, run in runs.items()}
    relayed = {peers: run["relayed_bytes_per_peer"] for peers, run in runs.items()}
    assert own[6] == pytest.approx(own[3], rel=0.02)
    assert relayed[6] > 2.0 * relayed[3]
    assert all(run["own_bytes_per_peer"] > run["payload_bytes_per_peer"] for run in runs.values())


@pytest.mark.parametrize("bench", BENCHES.values(), ids=BENCHES.keys())
def test_lines_are_run_files_and_names_lead_to_them(bench: Bench) -> None:
    names = [line.name for line in bench.lines]
    assert len(set(names)) == len(names)
    named = [bench.denominator, *bench.peer_counts_lines, *(claim.line for claim in bench.claims)]
    named += [line.denominator for line in bench.lines if line.denominator]
    named += list(bench.rates)
    assert set(named) <= set(names)
    for line in (*bench.lines, *bench.sized):
        method, codec = dict(line.method), dict(line.codec)
        assert create_method(method.pop("name"), **method).name == line.method["name"]
        if codec["name"] == "operation":
            continue  # of ledgers, and in no table of codecs
        made = create_codec(codec.pop("name"), **codec)
        assert getattr(made, "density", line.density) == line.density


def test_a_document_knows_how_many_rows_accuracy_is_of() -> None:
    bench = BENCHES["digits"]
    assert len(load_task("digits", bench.run["task"]).rows("test")) == bench.test_rows


def test_settings_are_chosen_where_no_table_looks() -> None:
    bench = BENCHES["reuters"]
    tuning = tuning_cells("reuters", bench)
    assert not {cell.seed for cell in tuning} & set(SEEDS)
    assert {cell.scenario()["task"]["test_rows"] for cell in tuning} == {1}
    assert {json.dumps(cell.scenario()["schedule"]) for cell in tuning} == {
        json.dumps(bench.run["schedule"])
    }


@pytest.mark.parametrize("task", BENCHES)
def test_every_run_is_a_scenario_with_a_key_of_its_own(task: str) -> None:
    asked = cells(parse(["--task", task, "--tune"]), BENCHES[task])
    assert len({cell.key() for cell in asked}) == len(asked)
    for cell in asked:
        scenario = load_scenario(cell.scenario())
        assert scenario.world.topology.nodes == cell.peers


def result(accuracy: float, kilobytes: float) -> dict[str, Any]:
    return {
        "mean_accuracy": accuracy,
        "worst_accuracy": accuracy - 0.1,
        "bytes_per_peer": 1e3 * kilobytes,
        "payload_bytes_per_peer": 900.0 * kilobytes,
        "update_bytes": 100.0,
        "updates_per_peer": 20.0,
        "values": 100,
    }


def results(seeds: dict[tuple[str, int], dict[str, Any]]) -> bytes_report.Results:
    return bytes_report.Results(
        task="digits", seeds=seeds, tuned={}, peer_counts={}, sizes=[], sources={"a"}
    )


def claimed(seeds: dict[tuple[str, int], dict[str, Any]], line: str) -> str:
    table = bytes_report.claims(results(seeds))
    return next(row for row in table.splitlines() if row.startswith(f"| `{line}`"))


@pytest.mark.parametrize(
    ("accuracy", "kilobytes", "verdict"),
    [(0.895, 10.0, "yes"), (0.885, 10.0, "**no**"), (0.895, 20.0, "**no**")],
)
def test_a_claim_needs_both_bytes_and_accuracy(
    accuracy: float, kilobytes: float, verdict: str
) -> None:
    seeds = {(EXACT, 0): result(0.9, 100.0), (INT4, 0): result(accuracy, kilobytes)}
    assert claimed(seeds, INT4).endswith(f"| {verdict} |")


def test_points_are_of_seeds_that_both_lines_have() -> None:
    seeds = {(EXACT, 0): result(0.9, 100.0), (EXACT, 1): result(0.5, 100.0)}
    seeds |= {(INT4, 1): result(0.6, 10.0), (INT4, 2): result(0.1, 10.0)}
    row = results(seeds).row(INT4)
    assert row is not None
    assert results(seeds).points(row) == pytest.approx([10.0])


def test_a_miss_says_by_how_much() -> None:
    seeds = {(EXACT, 0): result(0.9, 100.0), (INT4, 0): result(0.88, 20.0)}
    text = bytes_report.claims(results(seeds))
    assert f"- `{INT4}`: the ratio is 5.0, not 6 and 2.00 points are lost, not 1 at most" in text


def test_points_have_a_standard_error_where_there_are_several_seeds() -> None:
    seeds = {(EXACT, seed): result(0.9, 100.0) for seed in (0, 1)}
    seeds |= {(INT4, 0): result(0.9, 10.0), (INT4, 1): result(0.88, 10.0)}
    assert "| -1.0 (-2.0 to +0.0) | 1.0 |" in claimed(seeds, INT4)
    del seeds[INT4, 1]
    assert "| +0.0 |  |" in claimed(seeds, INT4)


SUM = "sparse-sum rank=8 / sparse kept=512"


def sum_and_dense() -> dict[tuple[str, int], dict[str, Any]]:
    """A sum whose updates are 210 times smaller, and all its bytes 35 times fewer."""
    dense = result(0.9, 420.0) | {"signed_update_bytes": 105_000.0, "mean_test_loss": 0.31}
    sparse = result(0.88, 12.0) | {"signed_update_bytes": 500.0, "mean_test_loss": 0.42}
    return {(EXACT, 0): dense, (SUM, 0): sparse}


def test_a_sum_shows_its_bytes_in_one_copy_and_in_all_and_its_loss() -> None:
    row = bytes_report.sums(results(sum_and_dense())).splitlines()[-1]
    assert "| 500 | 105,000 | 210.0 | 0.6 | 21.0 | 35.0 | 0.420 | 0.310 | +0.110 | -2.0 |" in row


@pytest.mark.parametrize(("is_of_updates", "verdict"), [(True, "yes"), (False, "**no**")])
def test_a_claim_may_be_of_updates_alone(
    is_of_updates: bool, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim(line=SUM, ratio_min=200.0, points_max=None, is_of_updates=is_of_updates)
    bench = replace(BENCHES["digits"], claims=(claim,))
    monkeypatch.setattr(bytes_report, "BENCHES", {"digits": bench})
    assert claimed(sum_and_dense(), SUM).endswith(f"| {verdict} |")


def test_what_older_runs_were_not_asked_for_is_left_out() -> None:
    found = results({(EXACT, 0): result(0.9, 420.0), (SUM, 0): result(0.9, 12.0)})
    assert "| 0.6 | 21.0 | 35.0 |  |  |  | +0.0 |" in bytes_report.sums(found)


def test_what_was_not_run_is_not_claimed() -> None:
    assert claimed({(EXACT, 0): result(0.9, 100.0)}, INT4).endswith("| not measured |")
    assert claimed({(INT4, 0): result(0.9, 10.0)}, INT4).endswith("| not measured |")


def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    store = tmp_path / "bytes.jsonl"
    whole = json.dumps({"key": "a", "result": 1}) + "\n"
    store.write_text(whole + '{"key": "b", "res')
    assert load(store) == {"a": {"key": "a", "result": 1}}
    assert store.read_text() == whole


def test_another_rate_is_another_run_and_the_lines_own_is_not() -> None:
    rate = BENCHES["digits"].line(INT4).learning_rate
    cell = Cell(task="digits", line=INT4, seed=0)
    own = Cell(task="digits", line=INT4, seed=0, learning_rate=rate)
    other = Cell(task="digits", line=INT4, seed=0, learning_rate=2 * rate)
    assert cell.key() == own.key() != other.key()
