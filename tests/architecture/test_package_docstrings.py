"""What `help` of a package shows: all that is public, by what it is for, and an example."""

import doctest
import pydoc
import re
from types import ModuleType

import pytest

import robust
import sim
import topologies

PACKAGES = [robust, sim, topologies]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_example_does_what_it_says(package: ModuleType) -> None:
    assert package.__doc__ is not None
    name = package.__name__
    example = doctest.DocTestParser().get_doctest(package.__doc__, {}, name, None, 0)
    assert len(example.examples) >= 3
    report: list[str] = []
    failed = doctest.DocTestRunner().run(example, out=report.append).failed
    assert not failed, "".join(report)


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in PACKAGES for name in package.__all__]
)
def test_every_public_name_is_mentioned(package: ModuleType, name: str) -> None:
    assert package.__doc__ is not None
    assert re.search(rf"`{name}[`(]", package.__doc__)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_what_is_public_is_listed_and_nothing_else(package: ModuleType) -> None:
    assert dir(package) == sorted(package.__all__)
    text = pydoc.plain(pydoc.render_doc(package))
    for name in package.__all__:
        is_function = callable(getattr(package, name)) and name.islower()
        assert not is_function or f"    {name}(" in text
