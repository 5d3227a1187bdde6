"""What a command is about to write: of the right kind, and nothing that it reads."""

from collections.abc import Iterable
from pathlib import Path

from p2pfed.errors import ConfigError


def check_written(option: str, path: Path | None, suffix: str, read: Iterable[Path] = ()) -> None:
    """Refuse a path before anything runs; an existing file of the right kind may be replaced.

    Args:
        option: That names the file, for the error.
        path: Of the file; None if nobody asked for it.
        suffix: How its name has to end, such as ".html".
        read: What the command reads, or keeps by another option.

    Raises:
        ConfigError: If the name ends otherwise, or the path is of a folder or of what is read.
    """
    from sim.named_files import is_same_file

    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise ConfigError(option, str(path), f"write a file name that ends in {suffix}")
    if path.is_dir():
        raise ConfigError(option, str(path), "is a folder; name a file in it")
    if any(is_same_file(path, it) for it in read):
        fix = "this command needs that file for something else; name another one"
        raise ConfigError(option, str(path), fix)
