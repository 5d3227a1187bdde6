"""Where a run file lies when somebody names it, or its folder."""

from pathlib import Path
from typing import Final

from p2pfed.errors import ConfigError

RUN_FILE: Final = "run.toml"


def find_run_file(place: Path) -> Path:
    """Return the run file.

    Args:
        place: The file, or the folder that it lies in.

    Raises:
        ConfigError: If there is none.
    """
    path = place / RUN_FILE if place.is_dir() else place
    if not path.is_file():
        raise ConfigError("run file", str(path), f"does not exist; make one: p2pfed init {place}")
    return path
