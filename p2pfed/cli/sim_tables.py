"""Tables that are wider than a terminal."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_COLUMNS_MAX = 10_000  # more than any table has


def print_table(console: Console, table: Table) -> None:
    """Print a table with every cell on one line: whoever reads it scrolls, or looks in a pager."""
    options = console.options.update(max_width=_COLUMNS_MAX)
    table.width = Measurement.get(console, options, table).maximum
    console.print(table, crop=False)
