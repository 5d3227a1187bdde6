"""A table `[privacy]` without `enabled = true` is a mistake, not a peer without privacy."""

import tomllib
from typing import Any

import pytest

from p2pfed.config.files import parse, render
from p2pfed.config.learning import assemble
from p2pfed.config.model import PrivacyTable
from p2pfed.config.templates import template
from p2pfed.errors import ConfigError
from tests.core.peers import ANNA

OTHER: dict[str, Any] = {
    "mechanism": "per-release",
    "clip_norm": 2.0,
    "noise_multiplier": 2.0,
    "sample_rate": 0.1,
    "epsilon_max": 2.0,
    "delta": 1e-6,
    "validation_is_public": True,
    "basis_is_public": True,
}


@pytest.mark.parametrize("name", sorted(set(PrivacyTable.model_fields) - {"enabled"}))
@pytest.mark.parametrize("switch", [{}, {"enabled": False}], ids=["silent", "off"])
def test_a_field_without_privacy_is_refused(name: str, switch: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(parse({"privacy": {name: OTHER[name], **switch}}), ANNA)
    assert (caught.value.field, caught.value.value) == (f"privacy.{name}", OTHER[name])
    assert "set privacy.enabled = true as well" in caught.value.fix


def test_a_default_that_somebody_wrote_is_refused_as_well() -> None:
    with pytest.raises(ConfigError, match=r"privacy\.epsilon_max = 8\.0: set privacy\.enabled"):
        assemble(parse({"privacy": {"epsilon_max": 8.0}}), ANNA)


def test_the_run_file_of_init_has_every_field_and_is_not_refused() -> None:
    text = render(template("digits"))
    assert "epsilon_max = 8.0" in text
    assemble(parse(tomllib.loads(text)), ANNA)
