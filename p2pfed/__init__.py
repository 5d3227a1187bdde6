"""Decentralized learning middleware: peers that train together over libp2p, without a server.

Importing this package is light. Public names load their module when they are first used.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Final

__p2pfed__: Final = True
__version__ = "0.1.0"

_SIBLINGS: Final = ("robust", "topologies", "sim")

# Public name -> the module that defines it.
_PUBLIC: Final = {
    "join": "p2pfed.embed",
    "open_node": "p2pfed.embed",
}


def _check_siblings() -> None:
    """Refuse to run with another distribution's module in the place of one of ours.

    `robust`, `topologies` and `sim` are common names. The place is checked before the import, so
    that a stray script of that name in the current folder is not run; the marker is checked after
    it, because another distribution can overwrite our files where they lie.
    """
    ours = Path(__file__).resolve().parent.parent
    for name in _SIBLINGS:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ImportError(
                f"{name!r} is missing from {ours}; reinstall p2pfed in an environment of its own"
            )
        origin = spec.origin or next(iter(spec.submodule_search_locations or ()), "an unknown path")
        is_beside_us = Path(origin).resolve() == ours / name / "__init__.py"
        if not is_beside_us or not hasattr(importlib.import_module(name), "__p2pfed__"):
            raise ImportError(
                f"{name!r} at {origin} is not p2pfed's; another distribution or a file of that "
                "name is in the way. Install p2pfed in an environment of its own, rename the file, "
                "or run `python -P` so that the current folder is not searched"
            )


_check_siblings()


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
