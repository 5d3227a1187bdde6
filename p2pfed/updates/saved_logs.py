"""Logs of authors as tensors by name, among the other tensors of a saved state."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import torch
from torch import Tensor

from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES
from p2pfed.updates.log import DIGEST_BYTES, HISTORY_COUNT, Log, Snapshot, Writer
from p2pfed.updates.saved_bytes import from_bytes, to_bytes

_FROZEN: Final = "frozen/"
_LOG: Final = "log/"
_OPERATION: Final = "/operation/"
_SUMS: Final = "/sums"
_PLACE: Final = "/place"

LogT = TypeVar("LogT", bound=Log)  # type: ignore[type-arg]  # of any operation

# Sequence, sums and history to the log.
Restore = Callable[[int, Snapshot, tuple[bytes, ...]], LogT]


def save(logs: Mapping[Writer, LogT], frozen: Mapping[Writer, int]) -> dict[str, Tensor]:
    """Return logs and freezing points."""
    state = {}
    for writer, last in frozen.items():
        state[_FROZEN + _name(writer)] = torch.tensor([last])
    for writer, log in logs.items():
        name = _LOG + _name(writer)
        state[name + _PLACE] = torch.tensor([log.sequence])
        state[name + _SUMS] = from_bytes(Snapshot.of(log).to_bytes())
        for place, data in enumerate(log.history):
            state[f"{name}{_OPERATION}{place}"] = from_bytes(data)
    return state


def load(
    state: Mapping[str, Tensor], restore: Restore[LogT]
) -> tuple[dict[Writer, LogT], dict[Writer, int]]:
    """Return what `save` was given.

    Args:
        state: What it returned.
        restore: Makes a log; raises RemoteError where it cannot.

    Raises:
        LocalError: If it is something else, or `restore` refused it.
    """
    frozen: dict[Writer, int] = {}
    logs: dict[Writer, LogT] = {}
    try:
        for name, tensor in state.items():
            if name.startswith(_FROZEN):
                frozen[_writer(name.removeprefix(_FROZEN))] = int(tensor.item())
            elif name.startswith(_LOG) and name.endswith(_PLACE):
                log = name.removesuffix(_PLACE)
                logs[_writer(log.removeprefix(_LOG))] = _read(log, state, restore)
    except (RemoteError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = f"the saved state holds no logs of these terms, or they cannot be read: {error}"
        raise LocalError(reason) from error
    return logs, frozen


def _read(name: str, state: Mapping[str, Tensor], restore: Restore[LogT]) -> LogT:
    data = to_bytes(state[name + _SUMS])
    names = [f"{name}{_OPERATION}{place}" for place in range(HISTORY_COUNT)]
    history = tuple(to_bytes(state[each]) for each in names if each in state)
    snapshot = Snapshot(digest=data[:DIGEST_BYTES], sums=data[DIGEST_BYTES:])
    return restore(int(state[name + _PLACE].item()), snapshot, history)


def _name(writer: Writer) -> str:
    return f"{writer.author.hex()}.{writer.incarnation}"


def _writer(name: str) -> Writer:
    author, _, incarnation = name.partition(".")
    if len(author) != 2 * PUBLIC_KEY_BYTES:
        raise ValueError(f"{name} names no writer")
    return Writer(PeerId(bytes.fromhex(author)), int(incarnation))
