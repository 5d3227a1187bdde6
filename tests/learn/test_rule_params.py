"""Parameters of a rule in a run file: what is wrong with them is said of their field."""

import pytest

import robust
import sim
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError
from robust import registry
from tests.core.peers import ANNA
from tests.sim.short import SHORT


@pytest.mark.parametrize(
    ("rule", "params", "said"),
    [
        ("self-centered-clipping", {"radius": "0.5"}, "= '0.5': is not a number or None"),
        ("ubar", {"evaluate": 3}, "= 3: remove it; each peer scores models on its own rows$"),
        ("balance", {"progress": 0.5}, "= 0.5: remove it; each peer tells the rule how much"),
        ("nnm+krum", {"neighbors": True}, "= true: is not text"),
        ("bristle", {"class_count": 2.5}, "= 2.5: is not a whole number or None"),
        ("clipping+mean", {"radius": -1.0}, "= -1.0: is not a length > 0"),
        ("krum", {"byzantine_count": 0}, "= 0: remove it; f follows from beta_max"),
        ("krum", {"radius": 1.0}, "the rule krum has no such parameter; it has neighbors$"),
        ("median", {"keep": 0.7}, "= 0.7: remove it; .* no such parameter; it has none$"),
        ("median", {"seed": 7}, "= 7: remove it; .* no such parameter; it has none$"),
        ("bucketing+mean", {"seed": 7}, "= 7: remove it; each peer draws with a seed of its own"),
        (
            "bucketing+mean",
            {"sise": 2},
            "= 2: remove it; .* no such parameter; it has bucket_size$",
        ),
        ("ubar", {"keep": 0.7}, "= 0.7: remove it; .* no such parameter; it has "),
    ],
)
def test_wrong_parameter_is_the_fault_of_params(
    rule: str, params: dict[str, object], said: str
) -> None:
    config = parse({"run": {"task": "digits"}, "integration": {"rule": rule, "params": params}})
    with pytest.raises(ConfigError, match=said) as caught:
        assemble(config, ANNA)
    ((name, value),) = params.items()
    assert (caught.value.field, caught.value.value) == (f"integration.params.{name}", value)


@pytest.mark.parametrize(
    ("rule", "params", "said"),
    [
        ("clipping+mean", {}, r"missing \['radius'\]; accepted: radius$"),
        ("krum", {"neighbors": "all"}, "unknown neighbors 'all'; known: blanchard"),
    ],
)
def test_what_no_parameter_alone_says_is_the_fault_of_all(
    rule: str, params: dict[str, object], said: str
) -> None:
    config = parse({"run": {"task": "digits"}, "integration": {"rule": rule, "params": params}})
    with pytest.raises(ConfigError, match=said) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.params", params)


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_what_a_peer_gives_is_refused_of_a_rule_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, fidelity: str
) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    robust.register(
        "drawing",
        lambda rows, radius=1.0, seed=0, progress=0.0: rows[(seed + int(radius + progress)) % 2],
    )
    synchronous = {"mode": "synchronous", "rounds_max": 1}
    scenario = {**SHORT, "fidelity": fidelity, "schedule": synchronous}
    wrong = (
        ("seed", "each peer draws with"),
        ("progress", "each peer tells the rule"),
        ("radios", "it has radius$"),
    )
    for name, fix in wrong:
        table = {"rule": "drawing", "norm_cap_ratio": "off", "params": {name: 7}}
        with pytest.raises(ConfigError, match=fix) as caught:
            sim.run({**scenario, "integration": table}, seed=0)
        assert (caught.value.field, caught.value.value) == (f"integration.params.{name}", 7)


@pytest.mark.parametrize("rule", ["nnm+trimmed-mean", "median"])
def test_methods_that_vote_take_no_other_rule(rule: str) -> None:
    tables = {"method": {"name": "ranks"}, "codec": {"name": "ballot"}, "run": {"task": "digits"}}
    config = parse({**tables, "integration": {"rule": rule}})
    with pytest.raises(ConfigError) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.rule", rule)
    fix = 'write "rank-vote"; this method sends rankings, and no other rule votes on them'
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("krun", "unknown rule 'krun'; known: balance, "),
        ("nnm", r"add a rule: 'nnm\+trimmed-mean'"),
        ("rank-vote", 'set method.name = "ranks", or "lora-ranks" or "update-ranks", and codec'),
    ],
)
def test_wrong_rule_is_the_fault_of_rule(rule: str, said: str) -> None:
    config = parse({"run": {"task": "digits"}, "integration": {"rule": rule}})
    with pytest.raises(ConfigError, match=said) as caught:
        assemble(config, ANNA)
    assert (caught.value.field, caught.value.value) == ("integration.rule", rule)
