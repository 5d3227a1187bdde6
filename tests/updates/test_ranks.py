"""The method `ranks`: masks of frozen weights, whose rankings travel and are voted on."""

import pytest
import torch
from torch import nn

from p2pfed.errors import CodecError, ConfigError
from p2pfed.updates.ballots import Ballots
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import Ranks
from p2pfed.updates.registry import create_method
from robust.errors import RuleError
from robust.ranks.ranking import ranks_of
from robust.registry import create
from tests.updates.tiny import frozen_and_trained, make_model

SIZES = {"encoder.query.scores": 24, "encoder.value.scores": 24, "head.scores": 12}


def make_codec(adapted: AdaptedModel) -> Ballots:
    codec = adapted.method.codec(adapted.specification, adapted.vector())
    assert isinstance(codec, Ballots)
    return codec


def trained(adapted: AdaptedModel) -> torch.Tensor:
    """Return a difference as after training: scores of no pattern."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(adapted.specification.size, generator=generator)


def test_scores_train_and_weights_do_not() -> None:
    adapted = Ranks().adapt(make_model(), seed=3)
    assert {it.name: it.size for it in adapted.specification.entries} == SIZES
    strangers, changed = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(changed) == 3


def test_all_machines_draw_the_same_weights_and_scores() -> None:
    first, second = (Ranks().adapt(make_model(seed), seed=3) for seed in (1, 2))
    assert torch.equal(first.vector(), second.vector())
    assert first.base_digest() == second.base_digest()
    assert first.base_digest() != Ranks().adapt(make_model(1), seed=4).base_digest()
    assert Ranks().adapt(make_model(1), seed=4).vector().ne(first.vector()).any()


def test_the_first_scores_are_a_ranking_of_each_layer() -> None:
    adapted = Ranks().adapt(make_model(), seed=3)
    layers = make_codec(adapted).layers
    for layer, scores in zip(layers, adapted.vector().split([24, 24, 12]), strict=True):
        assert torch.equal((scores / layer.step).sort().values, torch.arange(float(layer.size)))


@pytest.mark.parametrize(("ratio", "kept"), [(0.5, 12), (0.25, 6), (1.0, 24)])
def test_the_best_weights_take_part(ratio: float, kept: int) -> None:
    model = Ranks(kept_ratio=ratio).adapt(make_model(), seed=3).model
    weight = model.get_submodule("encoder.query").weight
    assert isinstance(weight, torch.Tensor)
    assert int((weight != 0).sum()) == kept
    magnitudes = weight.detach().abs().unique()
    assert float(magnitudes.max()) == pytest.approx((2 / 6) ** 0.5)
    assert model.get_submodule("encoder.query").bias is None


def test_convolutions_are_masked_by_their_fan_in() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2))
    adapted = Ranks(targets=("0",)).adapt(model, seed=0)
    assert adapted.specification.names == ("0.scores",)
    assert adapted.model(torch.zeros(1, 2, 3, 3)).shape == (1, 2)
    weight = model[0].weight
    assert float(weight.detach().abs().max()) == pytest.approx((2 / 18) ** 0.5)


@pytest.mark.parametrize(
    ("constants", "bits"),
    [
        ({}, 24 * 5 + 24 * 5 + 12 * 4),
        ({"form": "levels", "bits": 2}, 2 * 60),
        ({"form": "levels", "bits": 1}, 6 * 8 + 16),
        ({"form": "top-ids", "share": 0.5}, 2 * 64 + 24),
    ],
)
def test_bytes_are_those_of_the_rankings(constants: dict[str, object], bits: int) -> None:
    adapted = create_method("ranks", **constants).adapt(make_model(), seed=3)
    codec = make_codec(adapted)
    assert len(codec.encode(trained(adapted))) == bits // 8 == codec.encoded_bytes_max(60)


def test_a_ranking_comes_back_as_the_scores_that_are_dealt_by_it() -> None:
    adapted = Ranks().adapt(make_model(), seed=3)
    codec, vector, initial = make_codec(adapted), trained(adapted), adapted.vector()
    decoded = codec.decode(codec.encode(vector), len(vector))
    before, after = ((it + initial).split([24, 24, 12]) for it in (vector, decoded))
    for layer, scores, dealt in zip(codec.layers, before, after, strict=True):
        assert torch.equal(layer.scores(ranks_of(scores)), dealt)
    assert codec.encode(decoded) == codec.encode(vector)


@pytest.mark.parametrize("form", ["packed", "levels", "top-ids"])
def test_what_is_no_ranking_is_refused(form: str) -> None:
    adapted = Ranks(form=form).adapt(make_model(), seed=3)
    codec = make_codec(adapted)
    data = codec.encode(trained(adapted))
    wrong = [b"", data[:-1], data + b"\0", bytes(len(data)), b"\xff" * len(data)]
    wrong += [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(8)]
    for bad in wrong:
        with pytest.raises(CodecError, match="ballot"):
            codec.decode(bad, 60)


@pytest.mark.parametrize("form", ["packed", "levels", "top-ids"])
def test_any_bytes_are_a_ranking_or_refused(form: str) -> None:
    codec = make_codec(Ranks(form=form, bits=1).adapt(make_model(), seed=3))
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        count = codec.encoded_bytes_max(60)
        data = bytes(torch.randint(256, (count,), generator=generator).tolist())
        try:
            decoded = codec.decode(data, 60)
        except CodecError:
            continue
        assert codec.encode(decoded) == data


def test_a_run_votes_by_rank_vote_alone() -> None:
    adapted = Ranks().adapt(make_model(), seed=3)
    elect = adapted.method.electing(adapted.specification, adapted.vector())
    assert elect is not None
    assert elect(create("rank-vote", byzantine_count=1)).byzantine_count == 1
    with pytest.raises(RuleError, match="use rank-vote"):
        elect(create("mean", byzantine_count=1))


@pytest.mark.parametrize(
    ("constants", "field"),
    [
        ({"kept_ratio": 0.0}, "method.kept_ratio"),
        ({"kept_ratio": 1.5}, "method.kept_ratio"),
        ({"form": "factorial"}, "method.form"),
        ({"bits": 3}, "method.bits"),
        ({"bits": True}, "method.bits"),
        ({"share": 2}, "method.share"),
        ({"targets": ["", "a"]}, "method.targets"),
    ],
)
def test_wrong_constants_are_named(constants: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_method("ranks", **constants)
    assert caught.value.field == field


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the model has encoder\.query"):
        Ranks(targets=("scale",)).adapt(make_model(), seed=0)
    with pytest.raises(ConfigError, match="no linear or convolutional layer"):
        Ranks().adapt(nn.Embedding(3, 2), seed=0)
