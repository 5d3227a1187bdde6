"""Simulated networks of peers: virtual time, faults, adversaries and checkers, on one machine.

What is public, by what it is for:

* One simulation: `run` plays a scenario, which is a file or a mapping, and returns a `Result`;
  `load_scenario` only checks it. `run_into` keeps everything in a folder, of which `read_run` makes
  a `FinishedRun`.
* Many of them: `sweep` plays settings and seeds and returns a `SweepResult`, and `compare` says by
  how much the runs of two folders differ: a `Comparison` for each setting.
* Looking on: a `Watcher` is told what happens at each `Host` of a `World`, or of a `RoundPlayed`.
* Without frames and time: `rounds` is the fast fidelity, for sweeps; its `run` takes a
  `RoundsConfig` and returns a `RoundsResult`.
* Tests of the protocol: `stub_world` makes a world of peers that learn nothing, `identity_of` says
  who a peer is, and an `InvariantError` is of something that must never happen.

A simulation of three peers on digits:

>>> import sim
>>> scenario = {"topology": {"name": "ring", "nodes": 3}, "schedule": {"rounds_max": 2}}
>>> result = sim.run(scenario, seed=0)
>>> result.metrics["finished"], [peer.rounds for peer in result.peers]
(1.0, [2, 2, 2])

Importing this package is light. Public names load their module when they are first used.
docs/scenarios.md is the guide.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sim import rounds as rounds
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

# Public packages inside this one.
_PACKAGES: Final = ("rounds",)

__all__ = [*_PUBLIC, *_PACKAGES]


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
