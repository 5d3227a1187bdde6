"""The benchmark of rules against attacks: it goes on where it ended, and its tables are right."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import robust
from benchmarks import attack_matrix, attack_report
from benchmarks.attack_cells import (
    ATTACKS,
    NONE,
    SILENT,
    Cell,
    pipeline_of,
    run_cell,
    why_unusable,
)
from benchmarks.attack_results import SETTINGS, Found, Results, results_of
from benchmarks.attack_summary import nearly_best, record_of, scope, summary

SHAPE = {"peers": 16, "liars": 4, "rounds": 1}


def test_an_interrupted_matrix_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack_matrix, "run_cell", lambda cell: make_line(cell, 0.9))
    store, out = tmp_path / "store.jsonl", tmp_path / "out"
    words = ["--rules", "mean", "rank-vote", "--attacks", "nan", "--seeds", "0", "--rounds", "1"]
    words += ["--jobs", "1", "--store", str(store), "--out", str(out), "--default", "mean"]
    assert attack_matrix.main(words) == 0
    assert "left out: rank-vote" in capsys.readouterr().err
    lines = store.read_text().splitlines()
    assert len(lines) == 3 * len(SETTINGS)  # silent, none, nan
    tables = {file.name: file.read_text() for file in out.iterdir()}
    assert set(tables) == {"attack-matrix.md", "attack-matrix.csv"}
    assert len(tables["attack-matrix.csv"].splitlines()) == 1 + len(lines)

    # The last line was cut off, and the one before is of a run that failed.
    failed = json.loads(lines[-2]) | {"result": {"error": "Broken: it"}}
    store.write_text("\n".join([*lines[:-2], json.dumps(failed), lines[-1][:40]]))
    assert attack_matrix.main(words) == 0
    assert "12 runs, 2 of them to do" in capsys.readouterr().err
    again = [json.loads(line) for line in store.read_text().splitlines()]
    assert len(again) == len(lines) + 1
    assert {json.dumps(line["cell"]) for line in again} == {
        json.dumps(json.loads(line)["cell"]) for line in lines
    }

    assert attack_matrix.main(words) == 0
    assert "12 runs, 0 of them to do" in capsys.readouterr().err
    assert attack_matrix.main([*words, "--redo"]) == 0
    assert "12 runs, 12 of them to do" in capsys.readouterr().err


def test_a_cell_is_a_run_or_an_error() -> None:
    cell = Cell(rule="mean", attack="nan", partition="iid", topology="ring", seed=0, **SHAPE)
    line = run_cell(cell)
    assert line["cell"] == asdict(cell)
    assert line["result"]["liar_rejected_ratio"] == 1.0
    assert line["result"].keys() > make_line(cell, 0.9)["result"].keys()
    assert json.loads(json.dumps(line)) == line
    broken = run_cell(replace(cell, rule="fashion"))
    assert broken["result"]["error"].startswith("ConfigError: rounds.rule = 'fashion': unknown")


def test_every_preset_can_be_made() -> None:
    for name in ATTACKS:
        for partition, topology in SETTINGS:
            cell = Cell(
                rule="mean", attack=name, partition=partition, topology=topology, seed=1, **SHAPE
            )
            config = cell.config()
            assert len(config.place_liars()) == 4
            config.create_topology()
    other = Cell(rule="mean", attack="stale", partition="iid", topology="ring", seed=1, **SHAPE)
    assert other.config().attack == "stale"


def test_labels_say_what_stands_around_a_rule() -> None:
    assert pipeline_of("nnm+median") == ("nnm+median", {})
    ledger = {"reputation": robust.ReputationPolicy()}
    assert pipeline_of("mean@ledger@no-cap") == (
        "mean",
        {"integrator": {"norm_cap_ratio": None}, **ledger},
    )
    with pytest.raises(ValueError, match="write @gate, @ledger or @no-cap"):
        pipeline_of("mean@sea")
    _, fields = pipeline_of("mean@gate")
    assert fields["loss_gate"].probe_count == 6  # everybody
    assert why_unusable("trimmed-mean@ledger") is None
    assert "ranks" in str(why_unusable("rank-vote"))
    assert "unknown rule" in str(why_unusable("fashion"))


Score = Callable[[Cell], float]


def make_results(score: Score, *, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> Results:
    """Make runs of two peers, 0 and 5, of which 5 hears too many liars and does 0.1 worse."""
    found: Found = {}
    for rule in ("good", "poor"):
        for attack in (SILENT, NONE, "alie", "nan"):
            for partition, topology in SETTINGS:
                for seed in seeds:
                    cell = Cell(
                        rule=rule,
                        attack=attack,
                        partition=partition,
                        topology=topology,
                        seed=seed,
                        **SHAPE,
                    )
                    found[cell.key()] = make_line(cell, score(cell), **changes)
    return Results(
        found=found,
        rules=["poor", "good"],
        attacks=[SILENT, NONE, "alie", "nan"],
        seeds=seeds,
        shape=SHAPE,
    )


def make_line(cell: Cell, accuracy: float, **changes: Any) -> dict[str, Any]:
    is_lie = cell.attack not in (SILENT, NONE)
    accuracies = {"0": accuracy, "5": accuracy - 0.1 if is_lie else accuracy}
    ratios = ("liar_rejected_ratio", "false_ban_ratio", "liar_ban_ratio", "attack_success")
    result = {
        **dict.fromkeys(ratios),
        "accuracies": accuracies,
        "mean_accuracy": sum(accuracies.values()) / 2,
        "worst_accuracy": min(accuracies.values()),
        "worst_covered_accuracy": accuracies["0"],
        "liar_weight": 0.25 if is_lie else None,
        "false_rejected_ratio": 0.0,
        "kept_own_ratio": 0.0,
        "consensus_distance": 1.0,
        "honest_spread": 0.25 if cell.partition == "iid" else 0.5,
        "result_error": 0.4 if is_lie else 0.2,
        "bytes_per_peer": 100.0,
        "overrun_peers": [] if cell.attack == SILENT else [5],
    }
    line = {"cell": asdict(cell), "result": result, "cpu_seconds": 1.0, "sources": "a"}
    return {**line, **changes}


def by_attack(cell: Cell) -> float:
    """Score 0.9 with silent liars; the poor rule loses 0.2 to alie, the good one 0.02."""
    if cell.attack != "alie":
        return 0.9
    return 0.7 if cell.rule == "poor" else 0.88


def test_rules_are_ranked_by_the_worst_peer() -> None:
    results = make_results(by_attack)
    assert results.ranked() == ["good", "poor"]
    # On a ring some peers hear nobody but liars: it does not count.
    flipped = make_results(lambda it: 1.7 - by_attack(it) if it.topology == "ring" else 0.9)
    assert flipped.ranked() == ["good", "poor"]
    # Alike: by name. Failed: last.
    alike = make_results(lambda _: 0.9)
    assert alike.ranked() == ["good", "poor"]
    key = next(key for key in alike.found if key[:3] == ("good", "nan", "iid") and key[3] != "ring")
    alike.found[key]["result"] = {"error": "Broken: it"}
    assert alike.ranked() == ["poor", "good"]
    (failure,) = attack_report.failures(alike)
    assert failure.startswith("- {'rule': 'good', 'attack': 'nan'")
    assert failure in attack_report.document(as_table(alike), "good", "", [failure])


def as_table(results: Results) -> Results:
    return results_of(results.csv(), SHAPE)


def test_the_verdict_compares_with_silent_liars() -> None:
    results = as_table(make_results(by_attack))
    setting = ("iid", "6-regular")
    # (0.02 + 0.12) / 2, and 0.02 without the peer that hears too many liars.
    assert results.losses("good", "alie", setting) == pytest.approx([7.0, 7.0])
    covered = results.losses("good", "alie", setting, "covered_accuracy")
    assert covered == pytest.approx([2.0, 2.0])
    table = attack_report.verdicts(results, "good")
    assert "| alie | **no** | 7.0 (7.0 to 7.0) | 7.0 (7.0 to 7.0) | 2.0 (2.0 to 2.0) |" in table
    lifted = as_table(make_results(lambda it: 0.9 if it.attack in (SILENT, NONE) else 0.93))
    assert "| nan | yes | 2.0 (2.0 to 2.0) |" in attack_report.verdicts(lifted, "good")
    assert attack_report.verdicts(results, "unknown") == ""


def test_the_worst_peer_stands_beside_the_mean() -> None:
    text = attack_report.worst_peers(as_table(make_results(by_attack)), "good")
    # 0.9 - 0.78, and 0.9 - 0.88 without the peer that hears too many liars.
    twice = "| 12.0 (12.0 to 12.0) | 12.0 (12.0 to 12.0) | 2.0 (2.0 to 2.0) | 2.0 (2.0 to 2.0) |"
    assert f"| alie {twice}" in text
    assert "1 with seed 0, 1 with seed 1" in text
    assert attack_report.worst_peers(make_results(by_attack, seeds=(0,)), "unknown") == ""


def test_silent_liars_are_compared_over_the_peers_that_are_covered_otherwise() -> None:
    results = make_results(by_attack)
    for line in results.found.values():
        if line["cell"]["attack"] == SILENT:
            line["result"]["accuracies"]["5"] = 0.1  # the peer that hears too many liars
    covered = as_table(results).losses("good", "alie", ("iid", "ring"), "worst_covered_accuracy")
    assert covered == pytest.approx([2.0, 2.0])


def test_runs_in_which_peers_went_on_alone_are_marked() -> None:
    results = make_results(by_attack)
    for line in results.found.values():
        if line["cell"]["rule"] == "poor" and line["cell"]["attack"] == "nan":
            line["result"]["kept_own_ratio"] = 0.5 if line["cell"]["topology"] == "ring" else 0.4
    parts = attack_report.matrices(results).split("### ")
    ring = next(part for part in parts if part.startswith("iid, ring: mean"))
    regular = next(part for part in parts if part.startswith("iid, 6-regular: mean"))
    assert "| poor | 90 / 90 | 90 / 90 | 65 / 60 | 85 / 80 * |" in ring
    assert "*" not in regular
    # A mean over the attacks, of which one is nan, and both splits.
    assert "| 0.20 | 0.25 | 0.250 |" in attack_report.ranking(results)


def test_distances_tell_what_the_rule_and_what_the_data_do() -> None:
    table = attack_report.distances(make_results(by_attack), "good")
    assert "| alie | 0.40 | 0.25 | 0.100 | 0.40 | 0.50 | 0.200 |" in table
    assert "| silent | 0.20 | 0.25 | 0.050 | 0.20 | 0.50 | 0.100 |" in table


def test_a_rule_may_be_run_with_all_seeds_beside_the_best(tmp_path: Path) -> None:
    words = ["--rules", "mean", "median", "krum", "bridge", "monna", "--also", "krum"]
    words += ["--attacks", "nan", "--seeds", "0", "1", "--rounds", "1", "--jobs", "1"]
    words += ["--store", str(tmp_path / "store.jsonl"), "--out", str(tmp_path), "--default", "mean"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            attack_matrix,
            "run_cell",
            lambda cell: make_line(cell, 0.1 if cell.rule == "krum" else 0.9),
        )
        assert attack_matrix.main(words) == 0
    cells = [
        json.loads(line)["cell"] for line in (tmp_path / "store.jsonl").read_text().splitlines()
    ]
    second = {cell["rule"] for cell in cells if cell["seed"] == 1}
    assert second == {"mean", "median", "bridge", "monna", "krum"}


def test_the_document_holds_all_runs() -> None:
    table = make_results(by_attack).csv()
    text = attack_report.document(results_of(table, SHAPE), "good", "A machine.")
    assert "A machine. Seeds 0, 1: 0 for the whole, all of them for `good`, `poor`." in text
    assert "| poor | 70.0 | " in text
    assert "### dirichlet, ring: weight of the liars" in text
    assert "| good |  |  | 0.25 | 0.25 |" in text
    assert "## Failed" not in text
    assert len(table.splitlines()) == 1 + 2 * 4 * 4 * 2
    single = as_table(make_results(by_attack, seeds=(0,)))
    assert "## All seeds" not in attack_report.document(single, "good", "")


def test_a_table_is_read_as_it_was_written() -> None:
    results = make_results(by_attack)
    again = as_table(results)
    assert again.found.keys() == results.found.keys()
    assert (again.attacks, again.seeds) == ([SILENT, NONE, "nan", "alie"], [0, 1])
    (line,) = (
        it
        for it in again.lines()
        if it["cell"]["attack"] == "alie"
        and it["cell"]
        == {**it["cell"], "rule": "good", "partition": "iid", "topology": "ring", "seed": 1}
    )
    assert line["result"]["mean_accuracy"] == pytest.approx(0.83)
    assert line["result"]["overrun_peers"] == [5]
    assert line["result"]["attack_success"] is None
    assert again.ranked() == results.ranked()


def test_the_summary_counts_what_the_texts_quote() -> None:
    results = as_table(make_results(by_attack))
    assert scope(results, "good").startswith("2 pipelines against 2 attacks, 16 peers with 4 liars")
    record = record_of(results, "good", "iid")
    assert record is not None
    assert record.above == ("nan", "alie")
    assert (record.largest_attack, record.worst_peer_attack) == ("alie", "alie")
    assert record.largest == pytest.approx(7.0)
    assert record.worst_peer == pytest.approx(12.0)
    assert "| good | iid | 2 | 7.0: alie | 12.0: alie | 84.0 | 79.0 | 90.0 | 90.0 |" in summary(
        results, "good"
    )
    assert record_of(results, "unknown", "iid") is None
    assert summary(as_table(make_results(by_attack, seeds=())), "good") == ""
    assert [rule for rule, _ in nearly_best(results)] == ["good"]
    assert len(nearly_best(as_table(make_results(lambda _: 0.9)))) == 2


def test_runs_of_several_states_of_the_sources_are_told_apart() -> None:
    results = make_results(by_attack, seeds=(0, 1, 2))
    assert attack_report.states(results) == ""
    for line in results.found.values():
        cell = line["cell"]
        if cell["attack"] == "nan":
            line["sources"] = "b"
        elif cell["rule"] == "poor":
            line["sources"] = "c"
        elif cell["seed"] == 1 and cell["topology"] == "ring":
            line["sources"] = "d"
    text = attack_report.states(results)
    assert "- `c`, 36 runs: all that are not named below\n" in text
    assert "- `b`, 24 runs: 24 of 24 under `nan`\n" in text
    assert "- `d`, 6 runs: 6 of `good`\n" in text
