"""Run files of a ledger: what peers have to agree on, what is their own, and mistakes."""

from typing import Any

import pytest
import torch
from torch import nn

from p2pfed.config.files import parse
from p2pfed.config.learning import adapt_model, assemble_learner
from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.ledger_bench import LedgerBench
from p2pfed.learn.loss_meter import RoundLosses
from p2pfed.updates.registry import METHODS
from p2pfed.updates.seed_ledger import operation as operations
from tests.learn.ledger_peers import make_ledger_assembly

OWN: dict[str, dict[str, Any]] = {
    "adapter-set": {"rank": 16, "share": 0.5, "feedback": 0.5},
    "seeds": {"share": 0.5, "rounds_per_epoch": 3, "probe_length": 0.01},
    "projected": {"share": 0.5, "rounds_per_epoch": 0, "feedback": 0.5},
    "sparse-sum": {"decay": 0.5},
}
SHARED: dict[str, Any] = {
    "modules": ["2"],
    "direction_count": 128,
    "fraction_bits": 20,
    "coefficient_max": 1_000,
    "epoch_count": 2,
    "budget": 2**21,
}


def test_the_family_of_a_method_is_known_by_its_class() -> None:
    assert [name for name, method in METHODS.items() if method.is_ledger] == [
        "adapter-set",
        "projected",
        "seeds",
        "sparse-sum",
    ]


@pytest.mark.parametrize("name", OWN)
def test_how_a_peer_trains_is_no_part_of_the_genesis(name: str) -> None:
    run_ids = {make_ledger_assembly(name, 0).agreement.run_id}
    for constant, value in OWN[name].items():
        own: dict[str, Any] = {constant: value}
        run_ids.add(make_ledger_assembly(name, 1, **own).agreement.run_id)
    assert len(run_ids) == 1


@pytest.mark.parametrize(("constant", "value"), SHARED.items())
def test_the_terms_are_part_of_the_genesis(constant: str, value: Any) -> None:
    changed: dict[str, Any] = {constant: value}
    other = make_ledger_assembly("seeds", 0, **changed)
    assert other.agreement.run_id != make_ledger_assembly("seeds", 0).agreement.run_id


def test_all_is_assembled_as_the_run_file_says() -> None:
    made = make_ledger_assembly("seeds", 0, epoch_count=5)
    assert isinstance(made.bench, LedgerBench)
    terms = made.bench.ledger.terms
    assert terms.run_id == made.agreement.run_id
    assert (terms.size, terms.direction_count, terms.epoch_count) == (2_410, 256, 5)
    genesis = made.agreement.genesis
    assert (genesis.codec.name, genesis.codec.constants) == ("operation", {})
    assert genesis.section_bytes_max["main"] == made.bench.ledger.snapshot_bytes_max
    assert made.bench.ledger.snapshot_bytes_max > operations.bytes_max(terms)


def test_the_largest_operation_may_be_larger_than_the_largest_snapshot() -> None:
    made = make_ledger_assembly("seeds", 0, epoch_count=1, budget=2**20)
    assert isinstance(made.bench, LedgerBench)
    largest = operations.bytes_max(made.bench.ledger.terms)
    assert made.agreement.genesis.section_bytes_max["main"] == largest


def test_only_some_modules_may_train_over_a_base_of_half_precision() -> None:
    tables = {"training": {"device": "cpu", "dtype": "bfloat16", "step_rule": {"name": "sgd"}}}
    half = make_ledger_assembly("projected", 0, modules=["2"], tables=tables)
    assert half.bench.learner.specification.names == ("2.bias", "2.weight")
    whole = make_ledger_assembly("projected", 0, modules=["2"])
    assert half.agreement.run_id == whole.agreement.run_id


def training(**rule: object) -> dict[str, Any]:
    return {"training": {"device": "cpu", "step_rule": rule}}


@pytest.mark.parametrize(
    ("name", "constants", "tables", "field", "words"),
    [
        ("seeds", {}, {"codec": {"name": "float32"}}, "codec.name", "write operation"),
        ("projected", {}, {"codec": {"name": "int4"}}, "codec.name", "write operation"),
        (
            "seeds",
            {},
            {"codec": {"name": "operation", "block": 4}},
            "codec.block",
            "no constants",
        ),
        ("seeds", {}, {"reputation": {"enabled": True}}, "reputation.enabled", "write false"),
        ("seeds", {}, {"integration": {"rule": "krum"}}, "integration.rule", "leave it out: under"),
        ("seeds", {}, {"integration": {"beta_max": 0.1}}, "integration.beta_max", "leave it out"),
        (
            "adapter-set",
            {},
            {"integration": {"prioritizer": {"enabled": True}}},
            "integration.prioritizer.enabled",
            "all logs add up",
        ),
        (
            "sparse-sum",
            {},
            {"integration": {"weights": "max-degree", "degree_max": 4}},
            "integration.weights",
            "nobody mixes",
        ),
        (
            "sparse-sum",
            {},
            {"integration": {"degree_max": 4}},
            "integration.degree_max",
            "leave it out",
        ),
        (
            "projected",
            {},
            {"integration": {"norm_cap_ratio": 2.0}},
            "integration.norm_cap_ratio",
            "leave it out",
        ),
        (
            "seeds",
            {},
            {"integration": {"prioritizer": {"draw": "nearest"}}},
            "integration.prioritizer.draw",
            "leave it out",
        ),
        (
            "seeds",
            {},
            {"privacy": {"enabled": True, "mechanism": "per-release"}},
            "privacy.mechanism",
            "write per-step",
        ),
        ("projected", {}, {"outer": {"name": "noloco"}}, "outer.name", "write none"),
        (
            "adapter-set",
            {},
            {"training": {"normal_steps": 5}},
            "training.normal_steps",
            "leave it out",
        ),
        (
            "sparse-sum",
            {},
            {"participation": {"weights": "fedfix"}},
            "participation.weights",
            "write alike",
        ),
        ("seeds", {}, training(name="adamw"), "training.step_rule.name", "write sgd"),
        (
            "seeds",
            {},
            training(name="sgd", momentum=0.9),
            "training.step_rule.momentum",
            "remove it",
        ),
        (
            "seeds",
            {},
            training(name="sgd", weight_decay=0.1),
            "training.step_rule.weight_decay",
            "remove it",
        ),
        ("seeds", {"direction_count": 4_096}, {}, "method.direction_count", "at most the 2410"),
        ("seeds", {"modules": ["3"]}, {}, "method.modules", "modules with parameters"),
    ],
)
def test_mistakes_are_named(
    name: str, constants: dict[str, Any], tables: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make_ledger_assembly(name, 0, tables=tables, **constants)
    assert caught.value.field == field


def test_other_methods_have_no_operations() -> None:
    config = parse({"codec": {"name": "operation"}})
    with pytest.raises(ConfigError, match="write one of") as caught:
        adapt_model(config, nn.Linear(2, 2))
    assert caught.value.field == "codec.name"


def application_config(name: str, **tables: Any) -> RunConfig:
    method = {"name": name, "direction_count": 64, "share": 1.0}
    rule = {"step_rule": {"name": "sgd"}}
    return parse({"method": method, "codec": {"name": "operation"}, "training": rule, **tables})


def make_application(config: RunConfig) -> ApplicationLearner:
    adapted = adapt_model(config, nn.Linear(20, 20))
    return ApplicationLearner(adapted, evaluate=None, example_count=1)


def test_an_application_that_trains_by_itself_is_projected() -> None:
    config = application_config("projected")
    learner = make_application(config)
    made = assemble_learner(config, Identity(bytes(32)), learner)
    assert isinstance(made.bench, LedgerBench)
    assert made.bench.ledger.terms.size == 420


class Meter(ApplicationLearner):  # type: ignore[misc]
    """Measures losses of batches alone, which no noise can hide row by row."""

    def training_losses(self, round: int) -> RoundLosses:
        raise AssertionError(round)


def test_who_measures_no_losses_of_single_rows_cannot_probe_in_private() -> None:
    config = application_config("seeds", privacy={"enabled": True, "noise_multiplier": 4.0})
    learner = Meter(adapt_model(config, nn.Linear(20, 20)), evaluate=None, example_count=100)
    with pytest.raises(ConfigError, match="give your learner a method example_losses") as caught:
        assemble_learner(config, Identity(bytes(32)), learner)
    assert caught.value.field == "method.name"


def test_an_application_that_measures_no_losses_cannot_probe() -> None:
    config = application_config("seeds")
    with pytest.raises(ConfigError, match="write projected") as caught:
        assemble_learner(config, Identity(bytes(32)), make_application(config))
    assert caught.value.field == "method.name"


def test_pretrained_values_may_be_the_start() -> None:
    config = parse(
        {
            "method": {"name": "projected", "initial": "given", "direction_count": 64},
            "codec": {"name": "operation"},
        }
    )
    model = nn.Linear(20, 20)
    weight = model.weight.detach().clone()
    adapted = adapt_model(config, model)
    assert torch.equal(adapted.trainable["weight"], weight)
    assert adapted.method.name == "projected"
