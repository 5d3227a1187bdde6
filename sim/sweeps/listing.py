"""What lies in the folder of a sweep: which settings are its own, and which are left over."""

import json
from collections.abc import Collection
from pathlib import Path

from p2pfed.errors import ConfigError
from sim.run_folder import SWEEP_FILE, is_run


def listed_runs(folder: Path) -> dict[str, list[int]] | None:
    """Return which seeds `sweep.json` lists of each setting, by its name; None if there is none.

    Raises:
        ConfigError: If it is damaged.
    """
    path = folder / SWEEP_FILE
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return {str(it["name"]): list(map(int, it["seeds"])) for it in settings}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        fix = f"is damaged ({error!r}); run the same p2pfed sim sweep again, which writes it anew"
        raise ConfigError("file", str(path), fix) from error


def setting_folder(folder: Path) -> Path:
    """Return the folder of a setting that is named without its digest, as `rules/rule=mean`.

    Args:
        folder: Is returned as it is if it exists, or is in no sweep.

    Raises:
        ConfigError: If the sweep lists no such setting, or several.
    """
    listed = None if folder.exists() else listed_runs(folder.parent)
    if listed is None:
        return folder
    found = [name for name in listed if name.rpartition("-")[0] == folder.name]
    if len(found) == 1:
        return folder.parent / found[0]
    what = "is several settings" if found else "is no setting"
    fix = f"{what} of the sweep; name one of {', '.join(found or listed)}"
    raise ConfigError("folder", str(folder), fix)


def left_over(folder: Path, names: Collection[str]) -> list[str]:
    """Return the names of settings that a folder has runs of, and that are none of those named."""
    if not folder.is_dir():
        return []
    return sorted(
        place.name
        for place in folder.iterdir()
        if place.name not in names and place.is_dir() and any(map(is_run, place.iterdir()))
    )
