"""What is remembered of each peer as plain JSON, and back with every value checked."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from robust.errors import RuleError
from robust.parameters import shown
from robust.peers import by_key

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA: Final = 1  # raised when snapshots of an older version can no longer be read

StateT = TypeVar("StateT", bound="DataclassInstance")


class SnapshotError(RuleError):
    """A snapshot is damaged, or of something else: start without it, and say so."""


def chosen(
    states: Mapping[bytes, StateT], peers: Iterable[bytes | str] | None, *, name: str
) -> Mapping[bytes, StateT]:
    """Return the states of some peers, of those that have one; of all if `peers` is None.

    Args:
        states: Of all peers.
        peers: Which.
        name: What an error is to call them.

    Raises:
        RuleError: If they are no list of peers.
    """
    if peers is None:
        return states
    return {key: states[key] for key in by_key(peers, name) if key in states}


def write_snapshot(
    kind: str, genesis: str, states: "Mapping[bytes, DataclassInstance]"
) -> dict[str, Any]:
    """Return states as JSON can hold them, the same for equal states.

    Args:
        kind: Whose states they are.
        genesis: What they are about.
        states: By peer key; the fields are int and float.
    """
    peers = {key.hex(): asdict(states[key]) for key in sorted(states)}
    return {"schema": SCHEMA, "kind": kind, "genesis": genesis, "peers": peers}


def read_snapshot(
    snapshot: object,
    kind: str,
    genesis: str,
    state: type[StateT],
    ranges: Mapping[str, tuple[float, float]],
) -> dict[bytes, StateT]:
    """Return the states of a snapshot.

    Args:
        snapshot: What was read, of any type.
        kind: As it was written.
        genesis: As it was written.
        state: The type of a state.
        ranges: The least and the largest value of each float field. An int field is >= 0.

    Raises:
        SnapshotError: If it is not what `write_snapshot` makes of such states.
    """
    if not isinstance(snapshot, dict):
        raise SnapshotError(f"snapshot: {type(snapshot).__name__} is not a table")
    for name, wanted in (("schema", SCHEMA), ("kind", kind), ("genesis", genesis)):
        found = snapshot.get(name)
        if name == "genesis" and genesis == "" and isinstance(found, str) and found:
            raise SnapshotError(
                f"snapshot: genesis={shown(found)}, and none was given; give genesis=, the one "
                "that it was made with, if that run goes on, else start without it"
            )
        if found != wanted or isinstance(found, bool):
            raise SnapshotError(
                f"snapshot: {name}={shown(found)} is not {wanted!r}; start without it"
            )
    peers = snapshot.get("peers")
    if not isinstance(peers, dict):
        raise SnapshotError(f"snapshot: peers={type(peers).__name__} is not a table")
    return {_key(name): _state(name, values, state, ranges) for name, values in peers.items()}


def _key(name: object) -> bytes:
    key = None
    if isinstance(name, str):
        with suppress(ValueError):
            key = bytes.fromhex(name)
    if key is None or key.hex() != name:
        raise SnapshotError(f"snapshot: peer {name!r} is not hexadecimal")
    return key


def _state(
    peer: str,
    values: object,
    state: type[StateT],
    ranges: Mapping[str, tuple[float, float]],
) -> StateT:
    names = [field.name for field in fields(state)]
    if not isinstance(values, dict) or set(values) != set(names):
        raise SnapshotError(f"snapshot: the fields of peer {peer} are not {', '.join(names)}")
    return state(
        **{name: _value(values[name], f"peer {peer}: {name}", ranges.get(name)) for name in names}
    )


def _value(value: object, name: str, span: tuple[float, float] | None) -> float:
    """Return a value of a field: a whole number >= 0 if there is no `span`."""
    if isinstance(value, bool) or not isinstance(value, int if span is None else int | float):
        raise SnapshotError(f"snapshot: {name}={value!r} is not a number of its type")
    low, high = (0, float("inf")) if span is None else span
    if not low <= value <= high:
        raise SnapshotError(f"snapshot: {name}={value!r} is not in [{low}, {high}]")
    return value if span is None else float(value)
