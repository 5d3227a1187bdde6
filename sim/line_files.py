"""Files of one JSON object a line: written while a simulation goes on, read one by one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, final

from p2pfed.errors import ConfigError, cannot_write
from p2pfed.plain_json import finite


@final
class LineWriter:
    """Writes objects; a context manager. What was written is whole lines, whenever it ends.

    Args:
        path: The file; it is made anew, and its folder with it.

    Raises:
        LocalError: If it cannot be written; `write` and the end of the block raise it as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stream.close()
        except OSError as failure:
            raise cannot_write(self._path, failure) from failure

    def write(self, content: Mapping[str, Any]) -> None:
        """Append an object; numbers that JSON does not have become null."""
        try:
            self._stream.write(json.dumps(finite(content), separators=(",", ":")) + "\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file.

    Raises:
        ConfigError: If there is no such file, or a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                yield _object(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("file", str(path), f"cannot be read ({error}); name another") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        fix = f"line {number} is no JSON ({error}); was the run interrupted? run it again"
        raise ConfigError("file", str(path), fix) from error
    if not isinstance(found, dict):
        fix = f"line {number} is no JSON object; name a file that a simulation wrote"
        raise ConfigError("file", str(path), fix)
    return found
