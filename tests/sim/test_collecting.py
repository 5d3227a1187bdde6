"""A simulation leaves the garbage collector as it was."""

import gc
from collections.abc import Iterator

import pytest

from sim.collecting import collecting_seldom


@pytest.fixture(autouse=True)
def _same_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_collections_are_rarer_until_the_end_even_of_a_run_that_fails() -> None:
    gc.set_threshold(700, 10, 10)
    seen: list[tuple[int, int, int]] = []

    def run() -> None:
        with collecting_seldom():
            seen.append(gc.get_threshold())
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert seen[0] > (700, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("first", [0, 2_000_000])
def test_who_collects_more_rarely_still_is_left_alone(first: int) -> None:
    gc.set_threshold(first, 1_000, 1_000)
    with collecting_seldom():
        assert gc.get_threshold() == (first, 1_000, 1_000)
