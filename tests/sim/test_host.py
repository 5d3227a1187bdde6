"""A simulated machine by itself."""

from typing import get_args, get_type_hints

import pytest

from p2pfed.core.effects import Effect
from sim.host import BEGINNINGS


def test_every_effect_begins_somehow() -> None:
    assert set(BEGINNINGS) == set(get_args(Effect))


@pytest.mark.parametrize("kind", BEGINNINGS, ids=lambda kind: kind.__name__)
def test_each_effect_is_begun_by_what_takes_it(kind: type) -> None:
    assert get_type_hints(BEGINNINGS[kind])["effect"] is kind
