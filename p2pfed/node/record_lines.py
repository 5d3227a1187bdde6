"""Lines of a record: their sums, and reading them from a file that may be broken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from p2pfed.errors import ConfigError

# What the core may hold in memory, of which the first line of a life has all that was saved.
LINE_BYTES_MAX: Final = 64 << 20
_SUM_CHARACTERS: Final = 16
_SUM_FIELD: Final = ',"sum":"'
_END: Final = '"}\n'
_TAIL_BYTES: Final = 65_536


def sum_of(before: str, text: str) -> str:
    """Return the sum of a line.

    Args:
        before: Sum of the line before in this life, empty for the first.
        text: The line up to the sum.
    """
    return blake3((before + text).encode()).hexdigest()[:_SUM_CHARACTERS]


def first_line(path: Path) -> dict[str, Any] | None:
    """Return the first line of a file, an empty one if it cannot be read; None if there is none."""
    with path.open("rb") as stream:
        data = stream.readline(LINE_BYTES_MAX)
    if not data.endswith(b"\n"):
        # Nobody has written more than the beginning of a life.
        return None if not data or data.startswith(b'{"line":"begin"') else {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def cut_off_bytes(path: Path) -> int:
    """Return how many bytes follow the end of the last whole line."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        start = size
        while start > 0:
            start = max(0, start - _TAIL_BYTES)
            stream.seek(start)
            found = stream.read(_TAIL_BYTES).rfind(b"\n")
            if found >= 0:
                return size - (start + found + 1)
    return size


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the lines of a record; None in place of a last one that was not written to its end.

    Raises:
        ConfigError: If the file cannot be read, or a line is damaged; it names the line.
    """
    before = ""
    try:
        with path.open("rb") as stream:
            for number in _counted():
                data = stream.readline(LINE_BYTES_MAX + 1)
                if not data:
                    return
                if not data.endswith(b"\n"):
                    if len(data) > LINE_BYTES_MAX:
                        raise damaged(path, number, f"it has more than {LINE_BYTES_MAX} bytes")
                    yield None
                    return
                before, line = _read(path, number, data, before)
                yield line
    except OSError as error:
        fix = f"cannot be read ({error.strerror or error}); name another"
        raise ConfigError("record", str(path), fix) from error


def damaged(path: Path, number: int, reason: str) -> ConfigError:
    """Return the error of a line that no node wrote."""
    fix = f"line {number} is damaged: {reason}; name a file that p2pfed node run --record wrote"
    return ConfigError("record", str(path), fix)


def _counted() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _read(path: Path, number: int, data: bytes, before: str) -> tuple[str, dict[str, Any]]:
    """Return the sum of a line and its content."""
    try:
        whole = data.decode("ascii")
        line = json.loads(whole, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise damaged(path, number, f"no JSON ({error})") from error
    if not isinstance(line, dict) or not isinstance(line.get("line"), str):
        raise damaged(path, number, "no line of a record")
    text, _, rest = whole.rpartition(_SUM_FIELD)
    found = sum_of("" if line["line"] == "begin" else before, text)
    if rest != found + _END:
        raise damaged(path, number, "its sum is wrong")
    return found, line
