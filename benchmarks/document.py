"""docs/benchmarks.md: one section per benchmark, each written by its own program."""

import argparse
import re
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"

HEAD = """\
# Measured speed

Written by `make bench`, `make bench-robust`, `make bench-sim` and `make bench-updates`; comparisons
are between runs that took turns on one machine. Timings of a shared machine vary: read ratios, and
the spread.
"""


def write_section(title: str, body: str, document: Path = DOCUMENT) -> None:
    """Replace the section of this title, or add it at the end; leave the others alone.

    Args:
        title: What stands behind the "## ".
        body: The section's text, without its heading.
        document: The file.
    """
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", text, flags=re.MULTILINE))
    sections[title] = f"\n{body.strip()}\n"
    parts = [f"## {name}\n\n{content.strip()}\n" for name, content in sections.items()]
    document.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let the caller decide whether the section is written; see `publish`."""
    parser.add_argument(
        "--document",
        action=argparse.BooleanOptionalAction,
        help="write the section, or print it only; default: write what is whole",
    )


def publish(
    title: str, body: str, *, lacks: str, is_wanted: bool | None, document: Path = DOCUMENT
) -> None:
    """Write a section, or print it: that of a part of a benchmark would replace all the rest.

    Args:
        title: What stands behind the "## ".
        body: The section's text, without its heading.
        lacks: What it does not have of the whole, for people; empty if nothing.
        is_wanted: Whether the caller asked for the section to be written; None if it left that
            open, and then what is whole is written.
        document: The file.
    """
    if is_wanted or (is_wanted is None and not lacks):
        write_section(title, body, document)
        print(f"written: {document}")
        return
    print(body)
    if lacks and is_wanted is None:
        print(f"{document} is left alone: {lacks}; --document writes it so", file=sys.stderr)
