"""How reputation is kept on disk: a record per neighbor, which is a snapshot of it alone.

A round changes few of thousands, and is saved together with its model.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from p2pfed.core.effects import Record


class Memory(Protocol):
    """What remembers something of each peer."""

    def snapshot(self, peers: Iterable[bytes | str] | None = None, /) -> dict[str, Any]:
        """Return what is known of some peers, or of all."""
        ...


MemoryT = TypeVar("MemoryT", bound=Memory)


def encode_changes(area: str, memory: Memory, changed: Iterable[bytes]) -> list[Record]:
    """Return the records of peers about whom something else is known than was saved."""
    return [
        Record(key=f"{area}/{peer.hex()}", value=_encode(memory.snapshot([peer])))
        for peer in changed
    ]


def restore_all(
    area: str, saved: Mapping[str, bytes], restore: Callable[[object], MemoryT], empty: MemoryT
) -> tuple[MemoryT, dict[str, str], list[Record]]:
    """Put together what was saved of each peer.

    Args:
        area: Of the records' keys.
        saved: Records of an earlier life, among others.
        restore: Makes a memory of a snapshot; raises ValueError if that is damaged.
        empty: A memory of nobody.

    Returns:
        The memory, the keys of damaged records and what is wrong with them, and what to save so
        that the disk holds nothing but the memory.
    """
    peers: dict[str, Any] = {}
    damaged: dict[str, str] = {}
    keys = sorted(key for key in saved if key.startswith(f"{area}/"))
    for key in keys:
        try:
            snapshot = json.loads(saved[key])
            found = restore(snapshot).snapshot()["peers"]
            if [f"{area}/{peer}" for peer in found] != [key]:
                raise ValueError(f"{key} is about others")
        except (ValueError, RecursionError) as error:
            damaged[key] = str(error)
        else:
            peers |= found
    memory = restore({**empty.snapshot(), "peers": peers})
    kept = memory.snapshot()["peers"]
    obsolete = [
        Record(key=key, value=None) for key in keys if key.removeprefix(f"{area}/") not in kept
    ]
    return memory, damaged, obsolete


def _encode(snapshot: dict[str, Any]) -> bytes | None:
    if not snapshot["peers"]:
        return None
    return json.dumps(snapshot, sort_keys=True, separators=(",", ":")).encode()
