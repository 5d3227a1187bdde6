"""Logs of authors as tensors by name, among the other tensors of a saved state."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import torch
from torch import Tensor

from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES
from p2pfed.updates.log import DIGEST_BYTES, Log, Snapshot, Writer
from p2pfed.updates.saved_bytes import from_bytes, to_bytes

_LOG: Final = "log/"
_SUMS: Final = "/sums"
_PLACE: Final = "/place"

LogT = TypeVar("LogT", bound=Log)  # type: ignore[type-arg]  # of any operation

# Sequence, sums and their digest to the log.
Restore = Callable[[int, bytes, bytes], LogT]


def save(logs: Mapping[Writer, LogT]) -> dict[str, Tensor]:
    """Return logs."""
    state = {}
    for writer, log in logs.items():
        name = _LOG + _name(writer)
        state[name + _PLACE] = torch.tensor([log.sequence])
        state[name + _SUMS] = from_bytes(Snapshot.of(log).to_bytes())
    return state


def load(state: Mapping[str, Tensor], restore: Restore[LogT]) -> dict[Writer, LogT]:
    """Return what `save` was given.

    Args:
        state: What it returned.
        restore: Makes a log; raises RemoteError where it cannot.

    Raises:
        LocalError: If it is something else, or `restore` refused it.
    """
    logs: dict[Writer, LogT] = {}
    try:
        for name in state:
            if name.startswith(_LOG) and name.endswith(_PLACE):
                log = name.removesuffix(_PLACE)
                logs[_writer(log.removeprefix(_LOG))] = _read(log, state, restore)
    except (RemoteError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = f"the saved state holds no logs of these terms, or they cannot be read: {error}"
        raise LocalError(reason) from error
    return logs


def _read(name: str, state: Mapping[str, Tensor], restore: Restore[LogT]) -> LogT:
    data = to_bytes(state[name + _SUMS])
    sequence = int(state[name + _PLACE].item())
    return restore(sequence, data[DIGEST_BYTES:], data[:DIGEST_BYTES])


def _name(writer: Writer) -> str:
    return f"{writer.author.hex()}.{writer.incarnation}"


def _writer(name: str) -> Writer:
    author, _, incarnation = name.partition(".")
    if len(author) != 2 * PUBLIC_KEY_BYTES:
        raise ValueError(f"{name} names no writer")
    return Writer(PeerId(bytes.fromhex(author)), int(incarnation))
