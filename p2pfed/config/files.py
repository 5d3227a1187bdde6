"""Reading and writing run files."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from p2pfed.config.complaints import field_error
from p2pfed.config.constants import NAMED_TABLES, constants_of
from p2pfed.config.model import RunConfig
from p2pfed.config.plugins import load_plugins
from p2pfed.errors import ConfigError

_HEADS = {
    "run": "Shared by all peers: run, method, codec and admission make the genesis.",
    "task": "From here on: this peer's own choices. Options of the task's factory.",
}


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a run file, and run the plug-ins that it names.

    Args:
        path: The file.
        overrides: Values that replace those of the file, by dotted field name.

    Raises:
        ConfigError: If the file is missing, is not TOML, says no task, or a field or a
            plug-in cannot be used.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("run file", str(path), "does not exist; make one: p2pfed init") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("run file", str(path), f"is not TOML ({error}); mend it") from error
    _check_task(path, data, overrides or {})
    config = parse(data, overrides=overrides)
    load_plugins(config.plugins.files, path.parent)
    return config


def _check_task(path: Path, data: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse a file that does not say what is learned: an empty one is a mistake."""
    table = data.get("run", {})
    if "run.task" not in overrides and isinstance(table, Mapping) and "task" not in table:
        fix = f'is missing in {path}; write under [run] task = "digits", or package.module:factory'
        raise ConfigError("run.task", None, fix)


def parse(
    data: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
    tables: Sequence[str] = (),
    shown_by: str = "p2pfed init shows them all",
) -> RunConfig:
    """Check the content of a run file.

    Args:
        data: The content.
        overrides: Values that replace those of the content, by dotted field name.
        without: Dotted names of fields that are then left out.
        tables: Those that may have been meant by a misspelled one; empty for those of a run file.
        shown_by: What errors say of where all fields are to be seen.

    Raises:
        ConfigError: Naming the first field that cannot be used.
    """
    merged = _copied(data)
    for field, value in (overrides or {}).items():
        _put(merged, field, value)
    for field in without:
        _remove(merged, field)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise field_error(error, merged, tables=tables, shown_by=shown_by) from error


def write(config: RunConfig, path: Path) -> None:
    """Write a run file with a comment on each field; an existing file is refused.

    Raises:
        ConfigError: If the file exists.
    """
    if path.exists():
        raise ConfigError("run file", str(path), "exists already; choose another folder")
    path.write_text(render(config), encoding="utf-8")


def render(config: RunConfig) -> str:
    """Return the text of a run file, from which `load` reads the same run.

    Constants of the method, the codec and the like are written out, those left at their defaults,
    too: nobody could know them otherwise.
    """
    lines: list[str] = ["# A run of p2pfed. Fields that are left out have the values shown.", ""]
    for name in RunConfig.model_fields:
        if name in _HEADS:
            lines += [f"# {_HEADS[name]}", ""]
        value = getattr(config, name)
        lines += _table(name, value) if isinstance(value, BaseModel) else _plain(name, value)
    return "\n".join(lines)


def _table(name: str, table: BaseModel) -> list[str]:
    lines = [f"[{name}]"]
    inner: list[str] = []
    for field, info in type(table).model_fields.items():
        value = getattr(table, field)
        if isinstance(value, BaseModel):
            inner += _table(f"{name}.{field}", value)
            continue
        comment = f"  # {info.description}" if info.description else ""
        if value is None:
            lines.append(f"# {field} = …{comment}")
        else:
            lines.append(f"{field} = {_value(value)}{comment}")
    given = dict(table.model_extra or {})
    if name in NAMED_TABLES:
        for constant in constants_of(name, getattr(table, "name", "")):
            value = given.pop(constant.name, constant.default)
            comment = f"  # {constant.meaning}" if constant.meaning else ""
            lines.append(f"{constant.name} = {_value(value)}{comment}")
    if given:
        lines += tomli_w.dumps(given).splitlines()
    return [*lines, "", *inner]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    # For numbers, texts and lists of texts JSON and TOML are the same.
    return json.dumps(value, ensure_ascii=False)


def _plain(name: str, table: Mapping[str, Any]) -> list[str]:
    return [f"[{name}]", *tomli_w.dumps(table).splitlines(), ""]


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return value


def _put(data: dict[str, Any], field: str, value: Any) -> None:
    *tables, last = field.split(".")
    for table in tables:
        data = data.setdefault(table, {})
    data[last] = value


def _remove(data: dict[str, Any], field: str) -> None:
    *tables, last = field.split(".")
    for table in tables:
        data = data.get(table, {})
    data.pop(last, None)
