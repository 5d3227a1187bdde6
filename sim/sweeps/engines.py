"""Where the cells of a sweep run."""

from typing import Final

from p2pfed.errors import ConfigError
from sim.sweeps.jobs import Engine, run_on_processes
from sim.sweeps.on_ray import run_on_ray

ENGINES: Final[dict[str, Engine]] = {
    "processes": run_on_processes,
    "ray": run_on_ray,
}


def engine_of(name: str) -> Engine:
    """Return an engine by name.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in ENGINES:
        raise ConfigError("engine", name, f"write one of {', '.join(sorted(ENGINES))}")
    return ENGINES[name]
