"""What is wrong with a graph that a scenario asks for, said of the field in its table."""

import re
from collections.abc import Mapping
from typing import Any, Final

import topologies
from p2pfed.errors import ConfigError
from robust.parameters import meant
from topologies.parameters import meant as name_meant

_OF_ONE: Final = re.compile(r"(\w+)=.*?: (.*)", re.DOTALL)
_COMMON: Final = ("name", "nodes", "relays", "seed")  # fields of all topologies
_UNKNOWN: Final = re.compile(r"parameters of .*: unknown \['(\w+)'.*; (besides .*)", re.DOTALL)


def table_error(table: Mapping[str, Any], error: topologies.TopologyError) -> ConfigError:
    """Name the field of `[topology]` that a graph could not be made with.

    Args:
        table: What stands in it.
        error: What `topologies` said.
    """
    said = str(error)
    one, unknown = _OF_ONE.match(said), _UNKNOWN.match(said)
    if unknown is not None:
        near = meant(unknown[1], [*_COMMON, *re.findall(r"'(\w+)'", unknown[2])])
        fix = f"remove it; {table['name']} has no such parameter; {unknown[2]}{near}"
        return ConfigError(f"topology.{unknown[1]}", table.get(unknown[1]), fix)
    if one is not None and one[1] in table:
        return ConfigError(f"topology.{one[1]}", table[one[1]], one[2])
    return ConfigError("topology", table["name"], said)


def check_known(name: str, field: str) -> None:
    """Refuse a name that is of no topology, where both those that stay and that change may be.

    Raises:
        ConfigError: Listing them all.
    """
    stay, change = topologies.names(), topologies.dynamic_names()
    if name not in {*stay, *change}:
        fix = f"write one of {', '.join(stay)}; or of those that change: {', '.join(change)}"
        raise ConfigError(field, name, f"{fix}{name_meant(name, [*stay, *change])}")
