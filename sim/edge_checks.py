"""What a graph file says of its edges' links: names, types and bounds, as `[network]` has them."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import networkx as nx
from pydantic import ValidationError

from p2pfed.config.wording import fix_of
from p2pfed.errors import ConfigError
from robust.parameters import meant, shown
from sim.network import EDGE_FIELDS
from sim.tables import EdgeTable, NetworkTable, TopologyTable

FILE: Final = "file"

# What other programs write of edges, such as weight or color, has no unit of time, rate or share.
_UNITS: Final = ("_s", "_ms", "_us", "_ns", "_bps", "_kbps", "_mbps", "_gbps", "_ratio", "_percent")
_FIRST_WORDS: Final = {name.partition("_")[0]: name for name in EDGE_FIELDS}


def check_edges(table: TopologyTable, graph: nx.Graph) -> None:
    """Refuse what links of a graph file cannot be, and names that were meant to be of a link.

    Args:
        table: `[topology]`; graphs that are not from a file say nothing of links.
        graph: Its graph.

    Raises:
        ConfigError: Naming the file, the first such edge, and what it says.
    """
    if table.name != FILE:
        return
    for first, second, said in graph.edges(data=True):
        fix = _fix_of_link(said)
        if fix is not None:
            ends = " to ".join(shown(graph.nodes[node]["label"]) for node in (first, second))
            raise ConfigError("topology.path", table.params["path"], f"edge {ends}: {fix}")


def said_of_links(graph: nx.Graph) -> list[str]:
    """Return which fields of links are, on some edge, not what `[network]` has by default."""
    return [
        name
        for name, field in EdgeTable.model_fields.items()
        if any(value != field.default for *_, value in graph.edges.data(name, field.default))
    ]


def _fix_of_link(said: Mapping[str, Any]) -> str | None:
    """Return what to write of a link instead, if anything."""
    for name, value in said.items():
        if name not in EDGE_FIELDS and _is_of_link(name):
            fix = f"remove it; links have {', '.join(EDGE_FIELDS)}{_near(name)}"
            return f"{name} = {shown(value)}: {fix}"
    try:
        EdgeTable.model_validate({name: said[name] for name in EDGE_FIELDS if name in said})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        return f"{name} = {shown(first['input'])}: {fix_of([first], name)}"
    return None


def _is_of_link(name: str) -> bool:
    """Return whether a name was probably meant to be one of a link, and not another program's."""
    return name in NetworkTable.model_fields or name.lower().endswith(_UNITS) or bool(_near(name))


@cache  # edges have the same few names
def _near(name: str) -> str:
    first_word = name.strip().lower().partition("_")[0]
    known = _FIRST_WORDS.get(first_word)
    return meant(name, EDGE_FIELDS) if known is None else f"; did you mean {known!r}?"
