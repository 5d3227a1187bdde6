"""The whole state of a core as plain values: to compare two, and to weigh one."""

import random
import sys
from enum import Enum
from typing import Any

from p2pfed.core.allowance import Allowance
from p2pfed.core.peer import PeerCore
from p2pfed.identity import Identity

# What the third sentence of the contract exempts: counters, allowances, and last-heard times.
_EXEMPT = {"counters", "heard_s", "_asked_s", "_now_s"}


def state_of(core: PeerCore) -> object:
    """Return everything that a core remembers, save what handling a frame twice may change."""
    return _plain(core, {})


def memory_bytes(core: PeerCore) -> int:
    """Return how much memory a core's own state takes, in bytes."""
    seen: set[int] = set()
    return sum(sys.getsizeof(one) for one in _reachable(core, seen))


def _fields(value: Any) -> dict[str, Any]:
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {**found, **getattr(value, "__dict__", {})}


def _plain(value: Any, seen: dict[int, int]) -> object:
    if value is None or isinstance(value, bool | int | float | str | bytes | Enum):
        return value
    if isinstance(value, Allowance | Identity | type):
        return type(value).__name__
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, tuple | list):
        return [_plain(item, seen) for item in value]
    if isinstance(value, dict):
        return {_plain_key(key): _plain(item, seen) for key, item in value.items()}
    if id(value) in seen:
        return f"part {seen[id(value)]}"
    seen[id(value)] = len(seen)
    fields = _fields(value)
    return {name: _plain(fields[name], seen) for name in sorted(fields) if name not in _EXEMPT}


def _plain_key(key: Any) -> object:
    return key if isinstance(key, bytes | str | int | Enum | tuple) else repr(key)


def _reachable(value: Any, seen: set[int]) -> list[Any]:
    if id(value) in seen or isinstance(value, type | Enum):
        return []
    seen.add(id(value))
    if isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, tuple | list):
        inside = list(value)
    elif isinstance(value, bool | int | float | str | bytes | random.Random) or value is None:
        inside = []
    else:
        inside = list(_fields(value).values())
        if hasattr(value, "__dict__"):
            inside.append(value.__dict__)
    return [value, *(one for item in inside for one in _reachable(item, seen))]
