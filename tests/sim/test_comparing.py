"""Paired differences of results, with their intervals."""

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

import sim
from p2pfed.errors import ConfigError
from sim.comparing import Comparison, Difference, compare, t_interval
from sim.documents import digest_of
from tests.sim.results import write_run

MEDIAN = {"integration.rule": "median"}


def write_pairs(
    folder: Path, first: list[float | None], second: list[float | None]
) -> tuple[Path, Path]:
    for seed, (one, two) in enumerate(zip(first, second, strict=True)):
        write_run(folder / "mean" / f"seed-{seed}", seed=seed, accuracy=one)
        write_run(folder / "median" / f"seed-{seed}", seed=seed, accuracy=two, overrides=MEDIAN)
    return folder / "mean", folder / "median"


def of_accuracy(comparison: Comparison) -> Difference:
    (found,) = [it for it in comparison.differences if it.measure == "mean_accuracy"]
    return found


def test_differences_are_of_equal_seeds(tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, [0.5, 0.7, 0.9], [0.6, 0.9, 1.2])
    (comparison,) = compare(*folders)
    found = of_accuracy(comparison)
    assert comparison.seeds == (0, 1, 2)
    assert comparison.changed == {"integration.rule": ("mean", "median")}
    assert (found.first, found.second, found.pairs) == (pytest.approx(0.7), pytest.approx(0.9), 3)
    # Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, and 4.3027 is t's 97.5 % of two degrees.
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 4.302653 * 0.1 / 3**0.5)
    assert found.high == pytest.approx(0.2 + 4.302653 * 0.1 / 3**0.5)


def test_folders_may_be_given_as_text(tmp_path: Path) -> None:
    first, second = write_pairs(tmp_path, [0.5, 0.7], [0.6, 0.9])
    assert sim.compare(str(first), str(second)) == compare(first, second)
    with pytest.raises(ConfigError, match="second = 3: give a path"):
        sim.compare(first, 3)  # type: ignore[arg-type]


def test_a_single_pair_has_no_interval(tmp_path: Path) -> None:
    first, second = write_pairs(tmp_path, [0.5], [0.75])
    (comparison,) = compare(first / "seed-0", second / "seed-0")
    found = of_accuracy(comparison)
    assert (found.difference, found.low, found.high) == (0.25, None, None)


def test_pairs_without_a_measure_are_left_out_of_it(tmp_path: Path) -> None:
    (comparison,) = compare(*write_pairs(tmp_path, [0.5, None, 0.5], [0.5, 0.9, 0.75]))
    found = of_accuracy(comparison)
    assert (found.first, found.second, found.pairs) == (0.5, 0.625, 2)
    assert {it.measure for it in comparison.differences}.isdisjoint({"hostile_weight_mass"})


def test_a_wider_confidence_has_a_wider_interval() -> None:
    values = [0.1, 0.4, 0.2, 0.3]
    narrow, wide = t_interval(values, 0.9), t_interval(values, 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_runs_of_other_seeds_are_no_pairs(tmp_path: Path) -> None:
    first, second = write_pairs(tmp_path, [0.5, 0.5], [0.5, 0.5])
    write_run(second / "seed-9", seed=9, accuracy=0.5, overrides=MEDIAN)
    with pytest.raises(ConfigError, match="no run of seed 9") as caught:
        compare(first, second)
    assert caught.value.value == str(first)
    with pytest.raises(ConfigError, match="no run of seed 9"):
        compare(second, first)


def test_sweeps_are_compared_setting_by_setting(tmp_path: Path) -> None:
    for place, gain in (("before", 0.0), ("after", 0.25)):
        for name, overrides in (("mean-1", {}), ("median-2", MEDIAN)):
            for seed in (0, 1):
                folder = tmp_path / place / name / f"seed-{seed}"
                write_run(folder, seed=seed, accuracy=0.5 + gain, overrides=overrides)
    found = compare(tmp_path / "before", tmp_path / "after")
    assert [it.name for it in found] == ["mean-1", "median-2"]
    assert [of_accuracy(it).difference for it in found] == [0.25, 0.25]
    assert found[0].changed == {}
    with pytest.raises(ConfigError, match="compare one setting with one, or sweeps of the same"):
        compare(tmp_path / "before", tmp_path / "after" / "mean-1")


def test_sweeps_of_unlike_scenarios_say_what_differs(tmp_path: Path) -> None:
    later = {"network.latency_s": 0.5}
    for place, digest, own in (("before", "1a", {}), ("after", "2b", later)):
        for name, overrides in (("mean", {}), ("median", MEDIAN)):
            folder = tmp_path / place / f"{name}-{digest}" / "seed-0"
            write_run(folder, seed=0, accuracy=0.5, overrides={**own, **overrides})
    before, after = tmp_path / "before", tmp_path / "after"
    with pytest.raises(ConfigError) as caught:
        compare(before, after)
    assert caught.value.fix == (
        "compare one setting with one, or sweeps of the same settings; "
        f"only {before} has mean-1a, median-1a; only {after} has mean-2b, median-2b; "
        "mean-1a and mean-2b differ in network.latency_s (0.02, 0.5)"
    )


def test_a_folder_of_several_scenarios_says_what_differs(tmp_path: Path) -> None:
    write_run(tmp_path / "mixed" / "one", seed=0, accuracy=0.5)
    fields = {"membership.ban_s": 9.0, "network.upload_bytes_per_s": 1e6, "run.seed": 7, **MEDIAN}
    write_run(tmp_path / "mixed" / "two", seed=1, accuracy=0.5, overrides=fields)
    with pytest.raises(ConfigError) as caught:
        compare(tmp_path / "mixed", tmp_path / "mixed")
    assert caught.value.fix == (
        "holds several scenarios; have one folder for each: one and two differ in "
        "integration.rule ('mean', 'median'), membership.ban_s (60.0, 9.0), "
        "network.upload_bytes_per_s (unset, 1000000.0) and 1 more"
    )


def test_a_seed_that_a_folder_has_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / "twice" / name, seed=3, accuracy=0.5)
    with pytest.raises(ConfigError, match="has seed 3 twice, in one and two; move one of them"):
        compare(tmp_path / "twice", tmp_path / "twice")


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_results(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no results") as caught:
        compare(tmp_path / name, tmp_path / name)
    assert caught.value.value == str(tmp_path / name)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_none(tmp_path: Path, confidence: float) -> None:
    with pytest.raises(ConfigError, match="below 1"):
        compare(*write_pairs(tmp_path, [0.5], [0.5]), confidence=confidence)


def test_a_score_that_is_no_number_makes_no_pair(tmp_path: Path) -> None:
    (comparison,) = compare(*write_pairs(tmp_path, [0.5, float("nan"), 0.5], [0.5, 0.9, 0.75]))
    assert of_accuracy(comparison).pairs == 2


def test_results_of_versions_with_other_fields_are_compared(tmp_path: Path) -> None:
    first, second = write_pairs(tmp_path, [0.5], [0.75])
    folder = second / "seed-0"
    document = tomllib.loads((folder / "scenario.toml").read_text())
    document["network"]["of_a_later_version"] = 1.0
    (folder / "scenario.toml").write_text(tomli_w.dumps(document))
    result = json.loads((folder / "result.json").read_text())
    result["scenario_digest"] = digest_of(document)
    (folder / "result.json").write_text(json.dumps(result))
    (comparison,) = compare(first, second)
    assert comparison.changed["network.of_a_later_version"] == (None, 1.0)


def write_sweep(folder: Path, seeds: dict[str, list[int]]) -> None:
    settings = [{"name": name, "seeds": listed} for name, listed in seeds.items()]
    (folder / "sweep.json").write_text(json.dumps({"settings": settings}))


def test_of_a_sweep_what_it_lists_is_compared(tmp_path: Path) -> None:
    for name, accuracy in (("mean-1a", 0.5), ("mean-2b", 0.25), ("median-3c", 0.75)):
        for seed in (0, 1):
            overrides = MEDIAN if name == "median-3c" else {}
            place = tmp_path / name / f"seed-{seed}"
            write_run(place, seed=seed, accuracy=accuracy, overrides=overrides)
    write_sweep(tmp_path, {"mean-2b": [0, 1], "median-3c": [1]})
    found = compare(tmp_path, tmp_path)
    assert [(it.name, it.seeds) for it in found] == [("mean-2b", (0, 1)), ("median-3c", (1,))]
    (comparison,) = compare(tmp_path / "mean", tmp_path / "median")
    assert of_accuracy(comparison).difference == 0.5
    with pytest.raises(ConfigError, match="is no setting of the sweep; name one of mean-2b, med"):
        compare(tmp_path / "krum", tmp_path / "median")
    write_sweep(tmp_path, {"mean-1a": [0], "mean-2b": [0]})
    with pytest.raises(ConfigError, match="is several settings of the sweep; name one of mean-1a"):
        compare(tmp_path / "mean", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": [{}]}', "[" * 100_000])
def test_a_list_of_a_sweep_that_is_damaged(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "mean-1a" / "seed-0", seed=0, accuracy=0.5)
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ConfigError, match=r"run the same p2pfed sim sweep again"):
        compare(tmp_path, tmp_path)


def test_warnings_are_told_of_each_side(tmp_path: Path) -> None:
    for seed, warning in enumerate([None, "no row was used", "no job was done"]):
        write_run(tmp_path / "one" / str(seed), seed=seed, accuracy=0.5)
        write_run(tmp_path / "two" / str(seed), seed=seed, accuracy=0.5, warning=warning)
    (comparison,) = compare(tmp_path / "one", tmp_path / "two")
    assert comparison.warnings == (None, "2 of 3 runs have a warning: no row was used")


def test_files_that_were_edited_between_runs_are_named(tmp_path: Path) -> None:
    for place, own in (("before", "1a"), ("after", "2b")):
        for seed in (0, 1):
            files = {"own.py": own, "graph.txt": "3c", f"{place}.csv": own}
            write_run(tmp_path / place / str(seed), seed=seed, accuracy=0.5, files=files)
    (comparison,) = compare(tmp_path / "before", tmp_path / "after")
    assert comparison.changed == {"file own.py": ("1a", "2b")}
    mixed = tmp_path / "before" / "2"
    write_run(mixed, seed=2, accuracy=0.5, files={"own.py": "2b"})
    with pytest.raises(ConfigError, match=r"0 and 2 are of several versions of file own\.py; run"):
        compare(tmp_path / "before", tmp_path / "before")


def test_of_a_run_that_failed_the_error_is_told(tmp_path: Path) -> None:
    failure = {"kind": "ZeroDivisionError", "message": "by zero", "seed": 3}
    (tmp_path / "failure.json").write_text(json.dumps(failure))
    with pytest.raises(ConfigError, match=r"its run failed \(ZeroDivisionError: by zero\)"):
        compare(tmp_path, tmp_path)
