"""Simulated networks of peers: virtual time, faults, adversaries and checkers, on one machine.

Importing this package is light. Public names load their module when they are first used.
"""

import importlib
from typing import Any, Final

__p2pfed__: Final = True

# Public name -> the module that defines it.
_PUBLIC: Final = {
    "World": "sim.world",
    "run": "sim.running",
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
