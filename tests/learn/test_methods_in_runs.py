"""Every method of the table takes part in a run: agrees, trains, travels and integrates."""

from typing import Any, Final

import pytest
import torch

from p2pfed.config.files import parse
from p2pfed.config.learning import Assembly, assemble
from p2pfed.identity import Identity
from p2pfed.updates.methods import FedSb
from p2pfed.updates.registry import METHODS
from tests.learn.peers import integration, make_header, other_header, training

_LOW_RANK: Final = {"rank": 2, "targets": ["0"], "modules": ["2"]}

# What each method needs on the model of the task `digits`: linear layers 0 and 2.
CONSTANTS: Final[dict[str, dict[str, Any]]] = {
    "adapter-set": {},
    "bottleneck": {"size": 2, "targets": ["0"], "modules": ["2"]},
    "fed-sb": _LOW_RANK,
    "ffa-lora": _LOW_RANK,
    "full": {},
    "head": {"modules": ["2"]},
    "lora": _LOW_RANK,
    "lora-fair": _LOW_RANK,
    "lora-ranks": _LOW_RANK,
    "peft": {"type": "LOHA", "targets": ["0"], "modules": ["2"], "options": ["r=2"]},
    "projected": {"direction_count": 64},
    "ranks": {},
    "seeds": {"direction_count": 64},
    "sparse-sum": {},
    "update-ranks": _LOW_RANK,
}
MIXING: Final = [name for name, method in METHODS.items() if not method.is_ledger]


def codec_of(name: str) -> str:
    return METHODS[name].codec_name or "float32"


def make_assembly(
    name: str, index: int = 0, *, dtype: str = "float32", **constants: object
) -> Assembly:
    config = parse(
        {
            "run": {"task": "digits", "seed": 3},
            "method": {"name": name, **CONSTANTS[name], **constants},
            "codec": {"name": codec_of(name)},
            "training": {
                "steps_per_round": 2,
                "device": "cpu",
                "dtype": dtype,
                "step_rule": {"name": "adamw" if name in MIXING else "sgd"},
            },
            "share": {"index": index, "count": 2},
            "integration": {"rule": "rank-vote" if codec_of(name) == "ballot" else "mean"},
        }
    )
    return assemble(config, Identity(bytes([index]) * 32))


def test_every_method_is_tried() -> None:
    assert set(CONSTANTS) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_peers_of_one_run_file_agree(name: str) -> None:
    first, second = make_assembly(name), make_assembly(name, 1)
    assert first.agreement.run_id == second.agreement.run_id
    assert first.agreement.genesis.method.name == name


@pytest.mark.parametrize("name", MIXING)
def test_a_neighbor_is_integrated(name: str) -> None:
    own, neighbor = make_assembly(name), make_assembly(name, 1)
    outcome = neighbor.bench.train(training())
    payload, report = outcome.payload, outcome.report
    assert report.loss is not None
    header = other_header(make_header(payload, codec=codec_of(name)), method=name)
    before = own.bench.learner.vector()
    outcome = own.bench.integrate(integration({header.author: header}), lambda _: payload)
    assert outcome.verdicts[0].weight > 0.0
    after = own.bench.learner.vector()
    assert not torch.equal(after, before)
    saved = own.bench.save()
    own.bench.learner.load_vector(before)
    own.bench.load(saved)
    assert torch.equal(own.bench.learner.vector(), after)


@pytest.mark.parametrize("name", MIXING)
def test_a_frozen_base_may_be_of_half_precision(name: str) -> None:
    half, whole = make_assembly(name, dtype="bfloat16"), make_assembly(name)
    assert half.agreement.run_id == whole.agreement.run_id
    before = half.bench.learner.vector()
    half.bench.train(training())
    after = half.bench.learner.vector()
    assert after.dtype == torch.float32
    assert not torch.equal(after, before)


def test_a_weak_peer_takes_part_in_the_run_of_the_others() -> None:
    strong, weak = make_assembly("fed-sb"), make_assembly("fed-sb", 1, rank_used=1)
    assert strong.agreement.run_id == weak.agreement.run_id
    assert weak.adapted is not None
    assert isinstance(weak.adapted.method, FedSb)
    assert weak.adapted.method.rank_used == 1
    payload = weak.bench.train(training()).payload
    header = other_header(make_header(payload), method="fed-sb")
    outcome = strong.bench.integrate(integration({header.author: header}), lambda _: payload)
    assert outcome.verdicts[0].weight > 0.0


def test_lora_fair_mixes_closer_to_the_average_of_the_products() -> None:
    def distance(name: str) -> float:
        """Mix two peers that trained apart: how far off is the product of the first layer?"""
        own, neighbor = (make_assembly(name, i, alpha=2.0) for i in range(2))
        for assembly in (own, neighbor):
            for round in range(5):
                payload = assembly.bench.train(training(round)).payload
        header = other_header(make_header(payload), method=name)
        products = [product(each) for each in (own, neighbor)]
        outcome = own.bench.integrate(integration({header.author: header}), lambda _: payload)
        share = outcome.verdicts[0].weight
        wanted = (1.0 - share) * products[0] + share * products[1]
        return float((product(own) - wanted).norm())

    def product(assembly: Assembly) -> torch.Tensor:
        learner = assembly.bench.learner
        tensors = learner.specification.unflatten(learner.vector())
        return tensors["0.lora_B.weight"] @ tensors["0.lora_A.weight"]

    plain, fair = distance("lora"), distance("lora-fair")
    assert 0.0 < fair < 0.99 * plain
