"""What `help(robust)` begins with: it names everything public, and its example runs."""

import doctest
import re

import pytest

import robust


def test_example_does_what_it_says() -> None:
    assert robust.__doc__ is not None
    example = doctest.DocTestParser().get_doctest(robust.__doc__, {}, "robust", None, 0)
    assert len(example.examples) >= 6
    report: list[str] = []
    failed = doctest.DocTestRunner().run(example, out=report.append).failed
    assert not failed, "".join(report)


@pytest.mark.parametrize("name", robust.__all__)
def test_every_public_name_is_mentioned(name: str) -> None:
    assert robust.__doc__ is not None
    assert re.search(rf"`{name}[`(]", robust.__doc__)
