"""The method `lora-ranks`: masks of frozen factors beside a base, ranked and voted on."""

import pytest
import torch

from p2pfed.errors import ConfigError
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import LoraRanks
from p2pfed.updates.registry import create_method
from robust.ranks.lora_supermask import supermask_factors
from tests.updates.tiny import frozen_and_trained, make_model

QUERY = "encoder.query"


def adapt(seed: int = 0, **constants: object) -> AdaptedModel:
    method = create_method("lora-ranks", rank=2, **constants)
    return method.adapt(make_model(seed), seed=3)


def test_scores_of_both_factors_and_of_the_head_train() -> None:
    adapted = adapt()
    assert {it.name: it.shape for it in adapted.specification.entries} == {
        "encoder.query.scores_A": (2, 6),
        "encoder.query.scores_B": (4, 2),
        "encoder.value.scores_A": (2, 6),
        "encoder.value.scores_B": (4, 2),
        "head.scores": (3, 4),
    }
    strangers, changed = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(changed) == 5


def test_all_machines_draw_the_same_factors_and_scores() -> None:
    first, second = adapt().model.state_dict(), adapt().model.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    # A head that was drawn anew on another machine is replaced, and a base that differs is not.
    assert adapt().base_digest() == adapt().base_digest() != adapt(1).base_digest()
    assert torch.equal(adapt().vector(), adapt(1).vector())


def test_the_change_is_the_product_of_the_chosen_signs() -> None:
    adapted, inputs = adapt(magnitude=0.25), torch.linspace(-1.0, 1.0, 12).view(2, 6)
    state = adapted.model.state_dict()
    factors = supermask_factors(
        state[f"{QUERY}.signs_A"] > 0, state[f"{QUERY}.signs_B"] > 0, magnitude=0.25
    )
    delta = factors.delta(state[f"{QUERY}.scores_A"], state[f"{QUERY}.scores_B"])
    expected = make_model().encoder.query(inputs) + inputs @ delta.T
    torch.testing.assert_close(adapted.model.get_submodule(QUERY)(inputs), expected)
    assert bool((delta != 0).any())


def test_modules_need_not_be_masked() -> None:
    assert len(LoraRanks(modules=()).adapt(make_model(), seed=0).specification.entries) == 4


def test_each_factor_is_a_ranking_of_its_own() -> None:
    adapted = adapt()
    codec = adapted.method.codec(adapted.specification, adapted.vector())
    assert codec is not None
    # 4, 3, 4, 3 and 4 bits per rank of 12, 8, 12, 8 and 12 entries.
    assert codec.encoded_bytes_max(52) == 6 + 3 + 6 + 3 + 6


@pytest.mark.parametrize(
    ("constants", "field"),
    [
        ({"rank": 0}, "method.rank"),
        ({"magnitude": 0.0}, "method.magnitude"),
        ({"targets": []}, "method.targets"),
        ({"modules": [""]}, "method.modules"),
        ({"form": "all"}, "method.form"),
    ],
)
def test_wrong_constants_are_named(constants: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_method("lora-ranks", **constants)
    assert caught.value.field == field


def test_a_module_that_cannot_be_masked_is_named() -> None:
    with pytest.raises(ConfigError, match=r"method\.modules = 'encoder'"):
        LoraRanks(modules=("encoder",)).adapt(make_model(), seed=0)
