"""The other files that a scenario names: where they are, and what is in them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from p2pfed.config.plugins import absolute

_BLOCK_BYTES: Final = 1 << 20
_FREE: Final = ("task", "method", "variants")  # any text in them may be the path of a file


def whole_paths(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Name other files so that they are found from everywhere: by other processes, by run folders.

    Args:
        content: Of a scenario, unchecked.
        folder: What its relative paths are from.
    """
    found = dict(content)
    if isinstance(content.get("topology"), Mapping):
        found["topology"] = _whole_path(content["topology"], folder)
    if isinstance(content.get("availability"), list):
        found["availability"] = [_whole_path(it, folder) for it in content["availability"]]
    plugins = content.get("plugins")
    files = plugins.get("files") if isinstance(plugins, Mapping) else None
    if plugins and isinstance(files, list) and all(isinstance(file, str) for file in files):
        found["plugins"] = {**plugins, "files": absolute(files, folder)}
    return found


def file_digests(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the BLAKE3-256 of every file that a scenario names, in hexadecimal, by path.

    Args:
        document: Of a checked scenario; see `sim.documents`.

    Returns:
        Nothing of a path at which no file can be read: who needs that file says so.
    """
    texts = dict.fromkeys(_texts([document.get(it) for it in (*_FREE, "plugins")]))
    for table in (document.get("topology", {}), *document.get("availability", [])):
        texts |= dict.fromkeys(_texts(table.get("path")))
    digests = {text: _digest(Path(text)) for text in texts}
    return {text: digest for text, digest in sorted(digests.items()) if digest is not None}


def is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file, or would if it were there."""
    try:
        return first.samefile(second)
    except OSError:
        return first.resolve() == second.resolve()


def _whole_path(table: object, folder: Path) -> object:
    if isinstance(table, Mapping) and isinstance(table.get("path"), str):
        return {**table, "path": str((folder / table["path"]).resolve())}
    return table


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case _:
            return


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            hasher = blake3()
            while block := file.read(_BLOCK_BYTES):
                hasher.update(block)
    except (OSError, ValueError):  # most texts are no paths, and some cannot be any
        return None
    return hasher.hexdigest()
