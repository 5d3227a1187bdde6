"""Parameters of a rule in a run file: what is wrong with them is said of their field."""

import pytest

from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError
from tests.core.peers import ANNA


@pytest.mark.parametrize(
    ("rule", "params", "said"),
    [
        ("self-centered-clipping", {"radius": "0.5"}, "radius='0.5' is not a number or None"),
        ("ubar", {"evaluate": 3}, "evaluate=3 is not a function"),
        ("nnm+krum", {"neighbors": True}, "neighbors=True is not text"),
        ("bristle", {"class_count": 2.5}, "class_count=2.5 is not a whole number or None"),
        ("clipping+mean", {"radius": -1.0}, "radius=-1.0 is not a length > 0"),
        ("krum", {"radius": 1.0}, r"unknown \['radius'\]; accepted"),
    ],
)
def test_wrong_parameter_is_the_fault_of_params(
    rule: str, params: dict[str, object], said: str
) -> None:
    config = parse({"run": {"task": "digits"}, "integration": {"rule": rule, "params": params}})
    with pytest.raises(ConfigError, match=said) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.params", params)


@pytest.mark.parametrize("rule", ["krun", "nnm", "rank-vote"])
def test_wrong_rule_is_the_fault_of_rule(rule: str) -> None:
    config = parse({"run": {"task": "digits"}, "integration": {"rule": rule}})
    with pytest.raises(ConfigError, match="the rules are balance, ") as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.rule", rule)
