"""docs/benchmarks.md: one section per benchmark, each written by its own program."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"

HEAD = """\
# Measured speed

Written by `make bench`, `make bench-robust` and `make bench-updates`; comparisons are between runs
that took turns on one machine. Timings of a shared machine vary: read ratios, and the spread.
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
