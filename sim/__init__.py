"""Simulated networks of peers: virtual time, faults, adversaries and checkers, on one machine.

    result = sim.run("scenarios/digits-ring.toml", seed=0)
    result.metrics["mean_accuracy"]

`sim.rounds` is the fast fidelity, for sweeps: learning in step, without frames or time.

Importing this package is light. Public names load their module when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sim.checkers.invariant import InvariantError as InvariantError
    from sim.comparing import Comparison as Comparison
    from sim.comparing import compare as compare
    from sim.host import Host as Host
    from sim.identities import identity_of as identity_of
    from sim.result import Result as Result
    from sim.rounds.config import RoundsConfig as RoundsConfig
    from sim.rounds.result import RoundsResult as RoundsResult
    from sim.run_folder import FinishedRun as FinishedRun
    from sim.run_folder import read_run as read_run
    from sim.run_folder import run_into as run_into
    from sim.running import run as run
    from sim.scenario import load_scenario as load_scenario
    from sim.stubs import stub_world as stub_world
    from sim.sweeps.running import SweepResult as SweepResult
    from sim.sweeps.running import sweep as sweep
    from sim.watching import RoundPlayed as RoundPlayed
    from sim.watching import Watcher as Watcher
    from sim.world import World as World

__p2pfed__: Final = True

# Public name -> the module that defines it.
_PUBLIC: Final = {
    "Comparison": "sim.comparing",
    "FinishedRun": "sim.run_folder",
    "Host": "sim.host",
    "InvariantError": "sim.checkers.invariant",
    "Result": "sim.result",
    "RoundPlayed": "sim.watching",
    "RoundsConfig": "sim.rounds.config",
    "RoundsResult": "sim.rounds.result",
    "SweepResult": "sim.sweeps.running",
    "Watcher": "sim.watching",
    "World": "sim.world",
    "compare": "sim.comparing",
    "identity_of": "sim.identities",
    "load_scenario": "sim.scenario",
    "read_run": "sim.run_folder",
    "run": "sim.running",
    "run_into": "sim.run_folder",
    "stub_world": "sim.stubs",
    "sweep": "sim.sweeps.running",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
