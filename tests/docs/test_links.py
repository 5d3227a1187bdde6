"""Every internal link of the documents leads somewhere: to a file, and to a heading in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def anchors(document: Path) -> set[str]:
    """Return what GitHub lets one link to: a slug for each heading, numbered where it is taken."""
    prose = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    taken: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", prose, flags=re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = taken.get(slug, 0)
        taken[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def broken_links(document: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^):\s]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    assert list(broken_links(document)) == []


def test_headings_get_the_anchors_of_github(tmp_path):
    document = tmp_path / "guide.md"
    document.write_text("# `sim run`: a *rule*\n\n## Peers\n\n```\n# no heading\n```\n\n## Peers\n")
    assert anchors(document) == {"sim-run-a-rule", "peers", "peers-1"}


def test_links_to_missing_files_and_headings_are_found(tmp_path):
    document = tmp_path / "guide.md"
    document.write_text("# Here\n\n[a](#here) [b](#there) [c](other.md) [d](guide.md#gone)\n")
    assert list(broken_links(document)) == ["#there", "other.md", "guide.md#gone"]
