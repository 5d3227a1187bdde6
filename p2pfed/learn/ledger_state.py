"""A SeedLedger as tensors by name, to be saved with a model, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES
from p2pfed.updates.author_logs import Writer
from p2pfed.updates.seed_ledger import operation as operations
from p2pfed.updates.seed_ledger import snapshot as snapshots
from p2pfed.updates.seed_ledger.author_log import AuthorLog
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.snapshot import Snapshot
from p2pfed.updates.seed_ledger.terms import Terms

_SUMS: Final = "sums"  # the bytes of a snapshot
_PLACES: Final = "places"  # the sequence, and the size of each operation in the history
_HISTORY: Final = "history"  # the bytes of these operations
_FROZEN: Final = "frozen"


def to_tensors(ledger: SeedLedger) -> dict[str, Tensor]:
    """Return all that a ledger knows; names are `<author>/<incarnation>/<what>`."""
    tensors = {}
    for writer, log in ledger.logs.items():
        places = [log.sequence, *(len(each) for each in log.history)]
        tensors[_name(writer, _SUMS)] = from_bytes(snapshots.encode(Snapshot.of(log)))
        tensors[_name(writer, _PLACES)] = torch.tensor(places)
        tensors[_name(writer, _HISTORY)] = from_bytes(b"".join(log.history))
    for writer, last in ledger.frozen.items():
        tensors[_name(writer, _FROZEN)] = torch.tensor([last])
    return tensors


def from_tensors(tensors: Mapping[str, Tensor], terms: Terms) -> SeedLedger:
    """Make the ledger that `to_tensors` described.

    Raises:
        LocalError: If it is something else, or of other terms.
    """
    logs: dict[Writer, AuthorLog] = {}
    frozen: dict[Writer, int] = {}
    try:
        for name, tensor in tensors.items():
            writer, what = _parse(name)
            if what == _SUMS:
                logs[writer] = _read_log(writer, tensors, terms)
            elif what == _FROZEN:
                (frozen[writer],) = tensor.tolist()
    except (RemoteError, KeyError, ValueError, TypeError) as error:
        raise LocalError(f"the saved ledger cannot be read: {error}") from error
    return SeedLedger.of(terms, logs, frozen)


def from_bytes(data: bytes) -> Tensor:
    """Return bytes as a tensor, uint8."""
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def to_bytes(tensor: Tensor) -> bytes:
    """Return the bytes that `from_bytes` was given.

    Raises:
        LocalError: If the tensor is not of bytes.
    """
    if tensor.dtype != torch.uint8:
        raise LocalError(f"the saved state has {tensor.dtype} where bytes should be")
    return tensor.numpy().tobytes()


def _name(writer: Writer, what: str) -> str:
    return f"{writer.author.hex()}/{writer.incarnation:016x}/{what}"


def _parse(name: str) -> tuple[Writer, str]:
    author, incarnation, what = name.split("/")
    if len(author) != 2 * PUBLIC_KEY_BYTES:
        raise ValueError(f"{name} names no writer")
    return Writer(PeerId(bytes.fromhex(author)), int(incarnation, 16)), what


def _read_log(writer: Writer, tensors: Mapping[str, Tensor], terms: Terms) -> AuthorLog:
    saved = snapshots.decode(to_bytes(tensors[_name(writer, _SUMS)]), terms)
    sequence, *sizes = tensors[_name(writer, _PLACES)].tolist()
    rest = to_bytes(tensors[_name(writer, _HISTORY)])
    history = []
    for size in sizes:
        operations.decode(rest[:size], terms)
        history.append(rest[:size])
        rest = rest[size:]
    log = AuthorLog.restore(terms, sequence, saved.sums, saved.digest)
    return replace(log, history=tuple(history))
