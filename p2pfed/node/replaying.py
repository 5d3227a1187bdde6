"""Feeds a record through fresh cores and compares what comes out, byte for byte."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from p2pfed.core import plain
from p2pfed.core.peer import PeerCore
from p2pfed.errors import ConfigError, LocalError, SignatureError
from p2pfed.identity import PeerId, parse_peer_id, verify
from p2pfed.limits import SIGNATURE_BYTES
from p2pfed.node.record_lines import damaged, read_lines
from p2pfed.node.recording import FORMAT

# What a core raises for a bug of ours, and on what no core was ever told.
_CRASHES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a replay parts from its record.

    Attributes:
        line: Of the file, that holds the event.
        life: From 1.
        number: Of the event in its life, from 1; 0 for the making of the core.
        at_s: When it happened, in seconds since the epoch.
        event: The event, as its name and its fields.
        effect: Number of the first effect that differs, from 1.
        recorded: That effect in the record; None if there were fewer.
        now: That effect in the replay; None if there were fewer.
        reason: What else is to be said of it, or empty.
    """

    line: int
    life: int
    number: int
    at_s: float
    event: plain.Plain
    effect: int
    recorded: plain.Plain
    now: plain.Plain
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReplay:
    """What replaying a record came to.

    Attributes:
        peer: Whose record it is.
        lives: How often the peer was started.
        events: Events that were compared.
        effects: Effects that were compared.
        notes: Lives that did not end in order, and the like.
        difference: The first one, or None.
    """

    peer: str
    lives: int
    events: int
    effects: int
    notes: tuple[str, ...]
    difference: Difference | None

    @property
    def is_same(self) -> bool:
        """Whether all effects are the same."""
        return self.difference is None


def replay_record(path: Path) -> RecordReplay:
    """Feed the events of a record through fresh cores, up to the first effect that differs.

    Raises:
        ConfigError: If the file is no record, or is damaged; it names the line.
    """
    return _Replay(path).run()


@final
class _ReplaySigner:
    """Says what the key said when the record was made."""

    def __init__(self, peer: PeerId) -> None:
        self._peer = peer
        self._signatures: list[bytes] = []
        self._numbers: dict[str, int] = {}
        self.trouble = ""

    @property
    def peer(self) -> PeerId:
        return self._peer

    def expect(self, line: Line) -> None:
        """Take what the key said while it had to do with an event."""
        signatures, numbers = line.get("signatures", []), line.get("numbers", {})
        if not isinstance(signatures, list) or not isinstance(numbers, dict):
            raise LocalError("it does not say what the key said")
        if not all(type(it) is int for it in numbers.values()):
            raise LocalError("a number of the key is none")
        self._signatures = [plain.read_bytes(it) for it in signatures]
        self._numbers = numbers
        self.trouble = ""

    def sign(self, message: bytes) -> bytes:
        if not self._signatures:
            self.trouble = "the core signs what it did not sign then"
            return bytes(SIGNATURE_BYTES)
        signature = self._signatures.pop(0)
        try:
            verify(self._peer, message, signature)
        except SignatureError:
            self.trouble = "the core signs something else than it did then"
        return signature

    def secret_number(self, purpose: str) -> int:
        if purpose not in self._numbers:
            self.trouble = f"the core asks the key for a number that it did not ask for: {purpose}"
        return self._numbers.get(purpose, 0)

    def left(self) -> str:
        """Return what was wrong, or empty."""
        if not self.trouble and self._signatures:
            return "the core does not sign what it signed then"
        return self.trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """Something that was done with a core, and what came out then.

    Attributes:
        line: Where it begins, from 1.
        asked: The `begin` or `event` line.
        answered: The `effects` line; None if the process ended before it.
    """

    line: int
    asked: Line
    answered: Line | None


@final
class _Replay:
    """One pass through a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._core: PeerCore | None = None
        self._signer: _ReplaySigner | None = None
        self._peer = ""
        self._lives = self._events = self._effects = self._number = 0
        self._notes: list[str] = []

    def run(self) -> RecordReplay:
        difference: Difference | None = None
        for call in self._calls():
            try:
                difference = self._repeat(call)
            except LocalError as error:
                raise damaged(self._path, call.line, str(error)) from error
            if difference is not None:
                break
        if self._lives == 0:
            raise damaged(self._path, 1, "the file is empty")
        return RecordReplay(
            peer=self._peer,
            lives=self._lives,
            events=self._events,
            effects=self._effects,
            notes=tuple(self._notes),
            difference=difference,
        )

    def _calls(self) -> Iterator[_Call]:
        """Yield what was done, telling on the way how lives ended."""
        asked: tuple[int, Line] | None = None
        is_open = False
        number = 0
        for number, line in enumerate(read_lines(self._path), start=1):
            kind = None if line is None else line["line"]
            if line is None:
                self._note(f"line {number} is cut off: the process ended while writing it")
            elif kind == "effects" and asked is not None:
                yield _Call(line=asked[0], asked=asked[1], answered=line)
                asked = None
            elif kind == "event" and is_open and asked is None:
                asked = (number, line)
            elif kind == "end" and is_open and asked is None:
                is_open = False
            elif kind == "begin":
                yield from self._ended(is_open, asked)
                asked, is_open = (number, line), True
            else:
                raise damaged(self._path, number, f"{kind!r} stands in the wrong place")
        yield from self._ended(is_open, asked)

    def _ended(self, is_open: bool, asked: tuple[int, Line] | None) -> Iterator[_Call]:
        if asked is not None:
            yield _Call(line=asked[0], asked=asked[1], answered=None)
        if is_open:
            self._note(f"life {self._lives} ends within: its process was killed, or still runs")

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def _repeat(self, call: _Call) -> Difference | None:
        is_begin = call.asked["line"] == "begin"
        if is_begin:
            self._lives, self._number = self._lives + 1, 0
            self._signer = _ReplaySigner(_peer_of(call.asked))
            self._check_peer(call)
        else:
            self._events, self._number = self._events + 1, self._number + 1
        assert self._signer is not None
        self._signer.expect({} if call.answered is None else call.answered)
        crash = ""
        now: list[plain.Plain] = []
        try:
            now = self._make(call.asked) if is_begin else self._handle(call.asked)
        except _CRASHES as error:
            crash = f"the core raises {type(error).__name__}: {error}".rstrip(": ")
        except ConfigError as error:
            crash = f"the core cannot be made: {error}"
        if call.answered is None:
            self._note(_unanswered(call.line, crash))
            return None
        recorded = call.answered.get("effects")
        if not isinstance(recorded, list):
            raise LocalError("it has no effects")
        self._effects += len(recorded)
        return self._compare(call, recorded, now, crash or self._signer.left())

    def _check_peer(self, call: _Call) -> None:
        if call.asked.get("format") != FORMAT:
            found = call.asked.get("format")
            raise LocalError(f"its format is {found}, and this version knows {FORMAT} only")
        if self._lives > 1 and call.asked["peer"] != self._peer:
            raise LocalError(f"it is of peer {call.asked['peer']}, and those before are not")
        self._peer = call.asked["peer"]

    def _make(self, line: Line) -> list[plain.Plain]:
        assert self._signer is not None
        records = line.get("records")
        if not isinstance(records, dict):
            raise LocalError("it has no saved records")
        config = plain.read_config(line.get("config"))
        entropy = plain.read_bytes(line.get("entropy"))
        saved = {key: plain.read_bytes(it) for key, it in records.items()}
        self._core = PeerCore(config, self._signer, entropy=entropy, records=saved)
        return []

    def _handle(self, line: Line) -> list[plain.Plain]:
        assert self._core is not None
        at_s = line.get("at_s")
        if type(at_s) is not float:
            raise LocalError("it does not say when")
        event = plain.read_event(line.get("event"))
        return [plain.write_effect(it) for it in self._core.handle(event, now_s=at_s)]

    def _compare(
        self, call: _Call, recorded: list[plain.Plain], now: list[plain.Plain], reason: str
    ) -> Difference | None:
        first = _first_difference(recorded, now)
        if first is None and not reason:
            return None
        index = len(recorded) if first is None else first
        return Difference(
            line=call.line,
            life=self._lives,
            number=self._number,
            at_s=call.asked.get("at_s", 0.0),
            event=call.asked.get("event", ["begin", {}]),
            effect=index + 1,
            recorded=recorded[index] if index < len(recorded) else None,
            now=now[index] if index < len(now) else None,
            reason=reason,
        )


def _first_difference(recorded: list[plain.Plain], now: list[plain.Plain]) -> int | None:
    """Return the place of the first value that is written differently."""
    for index in range(max(len(recorded), len(now))):
        if index >= len(recorded) or index >= len(now):
            return index
        # As texts: to Python 1 and 1.0 are the same.
        if json.dumps(recorded[index]) != json.dumps(now[index]):
            return index
    return None


def _unanswered(line: int, crash: str) -> str:
    what = f"{crash}, as it did then" if crash else "the process ended there"
    return f"the event of line {line} has no effects: {what}"


def _peer_of(line: Line) -> PeerId:
    if not isinstance(line.get("peer"), str):
        raise LocalError("it names no peer")
    return parse_peer_id(line["peer"])
