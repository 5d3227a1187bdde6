"""Which cells a sweep has."""

import itertools
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from p2pfed.config.learning import check_parts
from p2pfed.errors import ConfigError
from sim.documents import digest_of, document_of, flat, load_base, load_changed
from sim.in_rounds.translation import scenario_fields
from sim.named_files import file_digests
from sim.run_folder import read_run
from sim.scenario import Scenario

_NAME_CHARACTERS_MAX: Final = 100  # of a folder, with room for its digest below the usual 255
_DIGEST_CHARACTERS: Final = 8  # in names, for people; identity is the whole digest
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=,+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A scenario of a sweep.

    Attributes:
        overrides: What is other than in the sweep's scenario, by dotted field name.
        document: The whole scenario; see `sim.documents`.
        digest: Of the document.
        files: Digests of the files that it names; see `sim.named_files`.
    """

    overrides: Mapping[str, Any]
    document: Mapping[str, Any]
    digest: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of its folder: what is special about it, and a part of the digest."""
        words = [f"{field}={_word(value)}" for field, value in self.overrides.items()]
        text = _UNSAFE.sub("_", ",".join(words) or "as-written")[:_NAME_CHARACTERS_MAX]
        return f"{text}-{self.digest[:_DIGEST_CHARACTERS]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One simulation of a sweep.

    Attributes:
        setting: What is simulated.
        seed: Of everything random.
        folder: Its run folder.
    """

    setting: Setting
    seed: int
    folder: Path

    def is_done(self) -> bool:
        """Return whether its run folder holds this very simulation, come to its end.

        What an earlier version ran, without a word of files, is done if the scenario names none.
        """
        try:
            found = read_run(self.folder)
        except ConfigError:
            return False
        is_same = (found.scenario_digest, found.seed) == (self.setting.digest, self.seed)
        return is_same and found.files == self.setting.files


def load_varied(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    grid: Mapping[str, Sequence[Any]],
    settings: Sequence[Mapping[str, Any]],
) -> Scenario:
    """Load what a sweep varies; plug-ins that every setting replaces are not run.

    Args:
        scenario: What is varied; one that is loaded stays as it is.
        grid: As for `plan_settings`, as are the settings.
        settings: Overrides, each of which is combined with the whole grid.

    Raises:
        ConfigError: If the scenario cannot be used, or these are no such values.
    """
    if isinstance(scenario, Scenario):
        return scenario
    _check_given(grid, settings)
    return load_base(scenario, [{**chosen, **grid} for chosen in settings])


def plan_settings(
    scenario: Scenario,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    settings: Sequence[Mapping[str, Any]] = ({},),
) -> list[Setting]:
    """Return every setting of a sweep, each checked.

    Cells run with one torch thread each unless the scenario says otherwise: results do not depend
    on how many run at once, and replaying one of them by itself gives the same.

    Args:
        scenario: What is varied.
        grid: Values by dotted field name; all combinations are taken.
        settings: Overrides, each of which is combined with the whole grid.

    Raises:
        ConfigError: If a setting cannot be used, or two are the same.
    """
    base = document_of(scenario)
    if not base["training"]["threads"]:
        base["training"]["threads"] = 1
    _check_given(grid or {}, settings)
    choices = [[(field, it) for it in values] for field, values in (grid or {}).items()]
    planned: dict[str, Setting] = {}
    for chosen in settings:
        for combination in itertools.product(*choices):
            overrides = {**chosen, **dict(combination)}
            document = document_of(_checked(base, overrides))
            made = Setting(
                overrides=overrides,
                document=document,
                digest=digest_of(document),
                files=file_digests(document),
            )
            if made.digest in planned:
                fix = f"is the same scenario as {dict(planned[made.digest].overrides)}; leave one"
                raise ConfigError("set", overrides, fix)
            planned[made.digest] = made
    return list(planned.values())


def _checked(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a setting, or say which field of the base does not go with it."""
    try:
        checked = load_changed(base, overrides)
        with scenario_fields():
            check_parts(checked.run_config(0, seed=0))
    except ConfigError as error:
        table, _, _ = error.field.rpartition(".")
        has_said = dict(flat(overrides))
        if not overrides or not table or error.field in has_said or table in has_said:
            raise
        fix = (
            f"{error.fix}; it stands in the sweep's scenario and not in the setting "
            f"{dict(overrides)}: take it out there, or write {table} = {{}} first in the setting"
        )
        raise ConfigError(error.field, error.value, fix) from error
    return checked


def _check_given(grid: object, settings: object) -> None:
    if not isinstance(grid, Mapping):
        raise ConfigError("grid", grid, "give lists of values by dotted field name")
    for field, values in grid.items():
        if not _is_list(values) or not values:
            fix = f"give a list of values, such as {[values] if values else ['median']}"
            raise ConfigError(f"grid.{field}", values, fix)
    tables = _is_list(settings) and all(isinstance(it, Mapping) for it in settings)
    if not tables or not settings:
        raise ConfigError("settings", settings, "give a list of overrides; [{}] is as written")


def _is_list(given: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def plan_cells(settings: Sequence[Setting], seeds: Sequence[int], folder: Path) -> list[Cell]:
    """Return every cell of a sweep, in order.

    Args:
        settings: What is simulated.
        seeds: Of each of them.
        folder: In which the run folders lie.

    Raises:
        ConfigError: If there is no seed, or one is none.
    """
    given: object = seeds
    whole = _is_list(given) and all(isinstance(it, int) and it >= 0 for it in given)
    if not whole or not given or len(set(seeds)) != len(seeds):
        fix = "give a list of whole numbers of at least 0, each once, such as [0, 1, 2]"
        raise ConfigError("seeds", given, fix)
    return [
        Cell(setting=setting, seed=seed, folder=run_folder(folder / setting.name, seed))
        for setting in settings
        for seed in seeds
    ]


def run_folder(setting_folder: Path, seed: int) -> Path:
    """Return where the run of a setting with a seed lies."""
    return setting_folder / f"seed-{seed}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def load_settings(path: Path) -> list[dict[str, Any]]:
    """Read a list of overrides: a TOML file with a table `[[settings]]` for each.

    Fields stand in it as in a scenario, so that `integration.rule = "median"` and
    `integration = { rule = "median" }` say the same.

    Raises:
        ConfigError: If the file cannot be read, or holds anything else.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = f"cannot be read ({error}); name a TOML file with tables [[settings]]"
        raise ConfigError("settings", str(path), fix) from error
    tables = found.pop("settings", None)
    if found or not isinstance(tables, list) or not all(isinstance(it, dict) for it in tables):
        what = sorted(found) or "no list of tables"
        fix = f"write one table [[settings]] per setting, and nothing else; found {what}"
        raise ConfigError("settings", str(path), fix)
    return [dict(flat(table)) for table in tables]
