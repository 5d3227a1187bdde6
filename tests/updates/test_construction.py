"""Errors about a name that no table knows."""

import re
from collections.abc import Callable

import pytest

from p2pfed.errors import ConfigError
from p2pfed.learn.device import resolve_dtype
from p2pfed.learn.outer import create_outer_step
from p2pfed.updates import registry
from p2pfed.updates.construction import check_choice


@pytest.mark.parametrize(
    ("make", "said", "near"),
    [
        (registry.create, "lorra", "lora"),
        (registry.create_method, "lorra", "lora"),
        (registry.create_codec, "float23", "float32"),
        (create_outer_step, "nolocco", "noloco"),
        (resolve_dtype, "float23", "float32"),
        (lambda name: check_choice(name, "form", ("wide", "tall")), "wied", "wide"),
    ],
)
def test_error_ends_with_the_name_that_was_probably_meant(
    make: Callable[[str], object], said: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"; did you mean '{near}'?") + "$") as caught:
        make(said)
    assert caught.value.value == said


def test_error_about_a_name_like_none_only_lists_all() -> None:
    with pytest.raises(ConfigError, match=r"write one of wide, tall$"):
        check_choice("qqq", "form", ("wide", "tall"))
