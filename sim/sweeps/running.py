"""A whole sweep: its cells that are not done yet, and what came out."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pfed.errors import ConfigError, cannot_write
from sim.documents import value_of
from sim.frames import frame_of
from sim.result_shape import has_failures
from sim.run_folder import SWEEP_FILE, FinishedRun, check_sweep_folder, read_run
from sim.scenario import Scenario, path_of
from sim.sweeps.engines import engine_of
from sim.sweeps.fitting import check_fits
from sim.sweeps.jobs import Ended
from sim.sweeps.listing import left_over
from sim.sweeps.plan import Cell, Setting, load_varied, plan_cells, plan_settings
from sim.sweeps.table import MEASURES, Spread, measures_of, spreads
from sim.sweeps.warned import warned, warnings_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came out of one setting.

    Attributes:
        setting: Which.
        runs: The numbers of each seed with a result; see `sim.sweeps.table`.
        measures: The same over all of these seeds.
        warnings: Of the runs that have one, by seed.
        gave_up: Seeds of the runs in which some peer gave up, after which `sim run` ends with
            code 1.
    """

    setting: Setting
    runs: Mapping[int, Mapping[str, float | None]]
    measures: Mapping[str, Spread | None]
    warnings: Mapping[int, str]
    gave_up: tuple[int, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those with a result."""
        return tuple(self.runs)

    @property
    def warned(self) -> str | None:
        """How many runs have a warning, and the first one; None if none has."""
        return warned(self.warnings, len(self.runs))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What came out of a sweep.

    Attributes:
        scenario: Name of the run.
        rows: One per setting.
        skipped: How many cells had been done before.
        failed: Cells without a result, and why.
        programs: Versions that the results are of, where there is more than one.
        left_over: Names of other settings of which there are runs in the folder, such as of the
            scenario before an edit.
    """

    scenario: str
    rows: tuple[Row, ...]
    skipped: int
    failed: tuple[Ended, ...]
    programs: tuple[str, ...]
    left_over: tuple[str, ...]

    @property
    def has_failed(self) -> bool:
        """Whether a cell has no result, or a peer of one gave up."""
        return bool(self.failed) or any(row.gave_up for row in self.rows)

    def to_json_object(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        return {
            "scenario": self.scenario,
            "settings": [
                {
                    "name": row.setting.name,
                    "overrides": dict(row.setting.overrides),
                    "scenario_digest": row.setting.digest,
                    "seeds": list(row.seeds),
                    "warnings": {str(seed): it for seed, it in row.warnings.items()},
                    "gave_up": list(row.gave_up),
                    "measures": {
                        name: None if it is None else asdict(it)
                        for name, it in row.measures.items()
                    },
                }
                for row in self.rows
            ],
            "failed": [
                {"name": it.cell.setting.name, "seed": it.cell.seed, "error": it.error}
                for it in self.failed
            ],
            "programs": list(self.programs),
            "left_over": list(self.left_over),
        }

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return all runs: a row for each, by setting and in order.

        Columns: `setting` (its name), every field that some setting overrides, as each of them has
        it (None where it does not say it), `seed`, and the measures of `sim.sweeps.table` (NaN
        where a run has none).

        Raises:
            LocalError: If pandas is not installed.
        """
        fields = dict.fromkeys(field for row in self.rows for field in row.setting.overrides)
        rows = [
            {
                "setting": row.setting.name,
                **{field: value_of(row.setting.document, field) for field in fields},
                "seed": seed,
                **measures,
            }
            for row in self.rows
            for seed, measures in row.runs.items()
        ]
        return frame_of(rows, ["setting", *fields, "seed", *MEASURES], numbers=MEASURES)


def sweep(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    folder: str | Path,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    settings: Sequence[Mapping[str, Any]] = ({},),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    engine: str = "processes",
    progress: Callable[[Ended], None] | None = None,
) -> SweepResult:
    """Simulate every setting with every seed, those that are done left out.

    Args:
        scenario: What is varied; as for `sim.run`.
        folder: For a folder per setting and seed, and `sweep.json`, the result.
        grid: Values by dotted field name; all combinations are taken.
        settings: Overrides, each of which is combined with the whole grid.
        seeds: Of each setting.
        jobs: How many cells run at once. With more than one, a script must keep what it does under
            `if __name__ == "__main__":`, as with all of Python's processes.
        engine: A name of `sim.sweeps.engines`.
        progress: Is told each cell that came to its end.

    Raises:
        ConfigError: If a setting, a seed, the engine or the folder, such as that of a run, cannot
            be used; nothing has run then.
        LocalError: If a folder cannot be written, or the engine is not installed.
    """
    given: object = jobs
    if not isinstance(given, int) or jobs < 1:
        raise ConfigError("jobs", jobs, "write how many cells run at once, 1 or more")
    checked = load_varied(scenario, grid=grid or {}, settings=settings)
    place = path_of(folder, "folder")
    check_sweep_folder(place)
    planned = plan_settings(checked, grid=grid, settings=settings)
    cells = plan_cells(planned, seeds, place)
    run_cells = engine_of(engine)
    todo = [cell for cell in cells if not cell.is_done()]
    check_fits(todo)
    failed = []
    with closing(run_cells(todo, jobs)) as endings:
        for ended in endings:
            if ended.error is not None:
                failed.append(ended)
            if progress is not None:
                progress(ended)
    result = _sum_up(checked.name, place, planned, cells, failed, skipped=len(cells) - len(todo))
    _write(place / SWEEP_FILE, result)
    return result


def _sum_up(
    name: str,
    folder: Path,
    settings: Sequence[Setting],
    cells: Sequence[Cell],
    failed: Sequence[Ended],
    *,
    skipped: int,
) -> SweepResult:
    lost = {ended.cell.folder for ended in failed}
    runs: dict[str, list[FinishedRun]] = {setting.digest: [] for setting in settings}
    for cell in cells:
        if cell.folder not in lost:
            runs[cell.setting.digest].append(read_run(cell.folder))
    rows = [
        Row(
            setting=setting,
            runs={run.seed: measures_of(run.result) for run in runs[setting.digest]},
            measures=spreads(runs[setting.digest]),
            warnings=warnings_of(runs[setting.digest]),
            gave_up=tuple(it.seed for it in runs[setting.digest] if has_failures(it.result)),
        )
        for setting in settings
    ]
    found = {_program(run) for group in runs.values() for run in group}
    return SweepResult(
        scenario=name,
        rows=tuple(rows),
        skipped=skipped,
        failed=tuple(failed),
        programs=tuple(sorted(found)) if len(found) > 1 else (),
        left_over=tuple(left_over(folder, {it.name for it in settings})),
    )


def _program(run: FinishedRun) -> str:
    version, commit = run.program.get("p2pfed"), run.program.get("commit")
    return f"p2pfed {version}" + (f" ({commit})" if commit else "")


def _write(path: Path, result: SweepResult) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result.to_json_object(), indent=2, default=str)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
