"""`p2pfed data fetch`: what is there is checked and named, and nothing is downloaded again."""

from pathlib import Path

import pytest

from p2pfed.learn.fetch import SOURCES


@pytest.mark.slow
def test_what_is_there_is_named(p2pfed):
    found = p2pfed.json("data", "fetch", *SOURCES)
    assert set(found) == set(SOURCES)
    for name, folder in found.items():
        assert {member.name for member in SOURCES[name].members} <= {
            path.name for path in Path(folder).iterdir()
        }
    assert p2pfed("data", "fetch", *SOURCES) == 0
    assert p2pfed.err == ""
    assert all(folder in p2pfed.out for folder in found.values())
