"""Python files of this machine's user that name rules and attacks before a run is read.

Nothing of a run that peers share names such a file, so that no peer can make another one run code.
"""

import hashlib
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

from p2pfed.errors import ConfigError

_FIELD: Final = "plugins.files"

# What was in each file when it was run, by the name of its module.
_RAN: Final[dict[str, bytes]] = {}


def load_plugins(files: Sequence[str], folder: Path) -> None:
    """Run plug-ins, each once in a process.

    Args:
        files: As they stand in `plugins.files`.
        folder: What they are relative to.

    Raises:
        ConfigError: If one is not there, is not named as a Python file, fails, or was edited after
            it was run: what it named cannot be taken back.
    """
    for file in files:
        path = (folder / file).resolve()
        # Of two files with one name both are modules; and errors show whose lines they are.
        digest = hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()
        name = f"p2pfed_plugin_{digest}_{path.stem}"
        if name not in sys.modules:
            _run(file, path, name)
        elif path.is_file() and _digest(path) != _RAN[name]:
            fix = "was edited after this process had run it; start the program again"
            raise ConfigError(_FIELD, file, fix)


def absolute(files: Sequence[str], folder: Path) -> list[str]:
    """Return the files by paths that do not depend on where they are written down."""
    return [str((folder / file).resolve()) for file in files]


def _run(file: str, path: Path, name: str) -> None:
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(_FIELD, file, f"there is no such Python file{_looked_up(file, path)}")
    specification = spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = module_from_spec(specification)
    _RAN[name] = _digest(path)
    sys.modules[name] = module  # where dataclasses and pickles in it look for it
    try:
        specification.loader.exec_module(module)
    except Exception as error:  # the edge to the user's own code, which may fail in any way
        del sys.modules[name]
        line = _line_in(error, path)
        fix = f"mend it{line}: {type(error).__name__}: {error}"
        raise ConfigError(_FIELD, file, fix) from error


def _looked_up(file: str, path: Path) -> str:
    """Return where a file was looked for; scenarios have made whole paths of theirs before."""
    if Path(file).is_absolute():
        beside = "paths in a scenario file are relative to its folder"
        return f"; {beside}, and those in --set or a mapping to where the program runs"
    return f" at {path}; the path is relative to this file's folder"


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes()).digest()


def _line_in(error: BaseException, path: Path) -> str:
    """Return which line of a file an error passed last."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
