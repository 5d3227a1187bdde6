"""Writes down everything that enters a core, so that it can be fed through another one.

A record is a file of one JSON object a line. A life of the peer begins with a `begin` line, what
the core was made of; each event is an `event` line, written before the core takes it, and an
`effects` line, what came out of it; `end` says that the life ended in order. Further lives are
appended.
"""

import fcntl
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, final

from p2pfed.core import plain
from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.core.peer import PeerCore
from p2pfed.errors import ConfigError, cannot_write
from p2pfed.identity import PeerId, Signer, format_peer_id
from p2pfed.node.record_lines import cut_off_bytes, first_line, sum_of

_log = logging.getLogger(__name__)

FORMAT: Final = 1  # of the file; a later one must be able to read this or say that it cannot

Write = Callable[[Mapping[str, Any]], None]


@final
class RecordedSigner:
    """Signs with a key, and keeps what the key said; never the key.

    Args:
        signer: The key.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._signatures: list[bytes] = []
        self._numbers: dict[str, int] = {}

    @property
    def peer(self) -> PeerId:
        """Whose key it is."""
        return self._signer.peer

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message."""
        signature = self._signer.sign(message)
        self._signatures.append(signature)
        return signature

    def secret_number(self, purpose: str) -> int:
        """Derive a number in [0, 2^63) that nobody without the private key can predict."""
        number = self._numbers[purpose] = self._signer.secret_number(purpose)
        return number

    def take_said(self) -> dict[str, Any]:
        """Return what was said since this was last asked, as fields of a line."""
        said = {
            "signatures": [plain.write_bytes(it) for it in self._signatures],
            "numbers": self._numbers,
        }
        self._signatures, self._numbers = [], {}
        return {name: value for name, value in said.items() if value}


@final
class Recorder:
    """Makes a core and hands events to it, telling everything that is needed to do so again.

    Args:
        write: Takes each line, as an object that JSON knows.
        config: See `PeerCore`, as for the others.
        signer: Its key.
        entropy: Seed of its random numbers.
        records: What earlier lives saved.

    Raises:
        ConfigError: See `PeerCore`.
        LocalError: See `PeerCore`.
    """

    def __init__(
        self,
        write: Write,
        config: CoreConfig,
        signer: Signer,
        *,
        entropy: bytes,
        records: Mapping[str, bytes],
    ) -> None:
        self._write = write
        self._signer = RecordedSigner(signer)
        write(
            {
                "line": "begin",
                "format": FORMAT,
                "peer": format_peer_id(signer.peer),
                "run": config.run_id.hex(),
                "config": plain.write_config(config),
                "entropy": plain.write_bytes(entropy),
                "records": {key: plain.write_bytes(it) for key, it in records.items()},
            }
        )
        self.core = PeerCore(config, self._signer, entropy=entropy, records=records)
        self._write_effects([])

    def handle(self, event: Event, *, now_s: float) -> list[Effect]:
        """Hand an event to the core; see `PeerCore.handle`."""
        # First, so that an event that ends the process is the last one of the record.
        self._write({"line": "event", "at_s": float(now_s), "event": plain.write_event(event)})
        effects = self.core.handle(event, now_s=now_s)
        self._write_effects(effects)
        return effects

    def end(self) -> None:
        """Say that the life ended in order."""
        self._write({"line": "end"})

    def _write_effects(self, effects: list[Effect]) -> None:
        said = self._signer.take_said()
        self._write({"line": "effects", "effects": list(map(plain.write_effect, effects)), **said})


@final
class RecordFile:
    """Appends lines to a record. What was written survives the process, but no power failure.

    A disk that is full ends the record, and nothing else.

    Args:
        path: The file; made with mode 0600 if there is none, and its folder with it.
        peer: Whose record it is to be.

    Raises:
        ConfigError: If another peer's record is there, or something else, or a process writes it.
        LocalError: If it cannot be written.
    """

    def __init__(self, path: Path, peer: PeerId) -> None:
        self._path = path
        self._last_sum = ""
        self._is_broken = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with ExitStack() as stack:
                self._stream = stack.enter_context(path.open("ab"))
                _lock(path, self._stream)
                _check_owner(path, peer)
                # The end of a line that a killed process did not finish; nobody can read it.
                self._stream.truncate(self._stream.tell() - cut_off_bytes(path))
                stack.pop_all()
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; a life's lines carry sums that say what was before them."""
        if self._is_broken:
            return
        if line["line"] == "begin":
            self._last_sum = ""
        text = json.dumps(line, separators=(",", ":"), allow_nan=False)[:-1]
        self._last_sum = sum_of(self._last_sum, text)
        try:
            self._stream.write(f'{text},"sum":"{self._last_sum}"}}\n'.encode())
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        try:
            self._stream.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not self._is_broken:
            self._is_broken = True
            _log.warning("%s; the record ends here", cannot_write(self._path, error))


def _lock(path: Path, stream: IO[bytes]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        fix = "another process writes it; stop that one, or name another file"
        raise ConfigError("record", str(path), fix) from error


def _check_owner(path: Path, peer: PeerId) -> None:
    line = first_line(path)
    if line is None:
        return
    if line.get("line") != "begin" or "peer" not in line:
        raise ConfigError("record", str(path), "is no record; name a file that does not exist yet")
    if line["peer"] != format_peer_id(peer):
        fix = f"is the record of {line['peer']}; name another file for {format_peer_id(peer)}"
        raise ConfigError("record", str(path), fix)
