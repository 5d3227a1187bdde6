"""Fed-SB: a small matrix between common factors, whose averages are exact."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from p2pfed.errors import ConfigError
from p2pfed.updates.codecs import Float32
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import FedSb, Head
from p2pfed.updates.methods.fed_sb import FedSbLinear, rebase
from tests.updates.tiny import frozen_and_trained, make_model

QUERY = "encoder.query.fed_sb_R"
INPUTS = torch.linspace(-1, 1, 12).view(2, 6)


def adapt(**constants: int) -> AdaptedModel:
    return FedSb(rank=3, **constants).adapt(make_model(), seed=3)  # type: ignore[arg-type]


def some_vectors(adapted: AdaptedModel, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, adapted.specification.size, generator=generator)


def change(adapted: AdaptedModel, vector: Tensor, layer: str = "encoder.query") -> Tensor:
    """What a vector adds to a layer's weight."""
    inner = adapted.specification.unflatten(vector)[f"{layer}.fed_sb_R"]
    left, right = (adapted.fixed[f"{layer}.fed_sb_{which}"] for which in "BA")
    return adapted.method.scale * left @ inner @ right  # type: ignore[attr-defined, no-any-return]


def test_only_the_inner_matrices_and_the_head_travel() -> None:
    adapted = adapt()
    assert adapted.specification.names == (
        QUERY,
        "encoder.value.fed_sb_R",
        "head.bias",
        "head.weight",
    )
    strangers, trained = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(trained) == 4  # R moves although it starts at zero


def test_it_starts_as_the_base_and_from_common_bits() -> None:
    first = FedSb(rank=3).adapt(make_model(1), seed=3)
    second = FedSb(rank=3).adapt(make_model(2), seed=3)
    assert torch.equal(first.vector(), second.vector())
    assert all(torch.equal(value, second.fixed[name]) for name, value in first.fixed.items())
    query = first.model.get_submodule("encoder.query")
    assert torch.equal(query(INPUTS), make_model(1).encoder.query(INPUTS))


def test_the_layer_computes_its_weight_plus_the_change() -> None:
    adapted = FedSb(rank=3, scale=0.5).adapt(make_model(), seed=3)
    (vector,) = some_vectors(adapted, 1)
    adapted.load_vector(vector)
    base = make_model().encoder.query
    expected = base(INPUTS) + INPUTS @ change(adapted, vector).T
    torch.testing.assert_close(adapted.model.get_submodule("encoder.query")(INPUTS), expected)


def test_averaging_what_travels_averages_the_changes() -> None:
    adapted = adapt()
    vectors, weights = some_vectors(adapted), torch.tensor([0.5, 0.2, 0.3])
    mean_of_changes = sum(
        weight * change(adapted, vector) for weight, vector in zip(weights, vectors, strict=True)
    )
    change_of_mean = change(adapted, weights @ vectors)
    torch.testing.assert_close(change_of_mean, mean_of_changes, atol=1e-6, rtol=0.0)


def test_updates_are_measured_on_their_products() -> None:
    method = FedSb(rank=3, scale=0.5, modules=())
    adapted = method.adapt(make_model(), seed=3)
    vectors = some_vectors(adapted)
    gram = method.gram(adapted.specification, adapted.vector(), fixed=adapted.fixed)
    assert gram is not None
    layers = ("encoder.query", "encoder.value")
    effects = torch.stack(
        [
            torch.cat([change(adapted, vector, layer).reshape(-1) for layer in layers])
            for vector in vectors
        ]
    ).double()
    torch.testing.assert_close(gram(vectors), effects @ effects.T, rtol=1e-5, atol=1e-5)


def test_it_costs_the_square_of_the_rank_per_layer() -> None:
    rank, layers, head = 3, 2, 4 * 3 + 3
    encoded = Float32().encode(adapt().vector())
    assert len(encoded) == 4 * (layers * rank**2 + head)


def test_a_weak_peer_computes_and_trains_with_the_leading_part() -> None:
    adapted = adapt(rank_used=2)
    (vector,) = some_vectors(adapted, 1)
    padded = {
        name: value.clone() for name, value in adapted.specification.unflatten(vector).items()
    }
    for name in (QUERY, "encoder.value.fed_sb_R"):
        padded[name][2:] = 0.0
        padded[name][:, 2:] = 0.0
    whole = adapt()
    whole.load_vector(whole.specification.flatten(padded))
    adapted.load_vector(vector)
    torch.testing.assert_close(adapted.model(INPUTS), whole.model(INPUTS))
    adapted.model(INPUTS).sum().backward()
    gradient = adapted.trainable[QUERY].grad
    assert gradient is not None
    assert not bool(gradient[2:].any())
    assert not bool(gradient[:, 2:].any())
    assert bool(gradient[:2, :2].any())


def test_a_weak_peer_hands_on_what_it_does_not_use() -> None:
    adapted = adapt(rank_used=1)
    (vector,) = some_vectors(adapted, 1)
    adapted.load_vector(vector)
    assert torch.equal(adapted.vector(), vector)


def test_ranks_of_peers_and_files_are_no_constants_of_the_run() -> None:
    assert FedSb(rank=3, rank_used=2).describe() == FedSb(rank=3).describe()
    assert "basis_file" not in FedSb().describe()


def test_smaller_ranks_have_the_leading_part_of_the_basis() -> None:
    small = FedSb(rank=2).adapt(make_model(), seed=3).fixed
    large = adapt().fixed
    name = "encoder.query.fed_sb_"
    assert torch.equal(small[name + "A"], large[name + "A"][:2])
    assert torch.equal(small[name + "B"], large[name + "B"][:, :2])


def test_rebasing_keeps_the_model_and_opens_new_directions() -> None:
    adapted = adapt()
    (vector,) = some_vectors(adapted, 1)
    adapted.load_vector(vector)
    before, bases = adapted.model(INPUTS), dict(adapted.fixed)
    base = make_model().encoder.query.weight
    rebased = rebase(adapted, seed=4)
    torch.testing.assert_close(rebased.model(INPUTS), before)
    assert not bool(rebased.trainable[QUERY].any())
    assert all(not torch.equal(value, bases[name]) for name, value in rebased.fixed.items())
    layer = rebased.model.get_submodule("encoder.query")
    assert isinstance(layer, FedSbLinear)
    torch.testing.assert_close(layer.base.weight, base + change(adapted, vector))


def test_rebasing_at_one_vector_and_seed_gives_one_digest() -> None:
    def digest(value: float, seed: int) -> bytes:
        adapted = adapt()
        adapted.load_vector(torch.full((adapted.specification.size,), value))
        return rebase(adapted, seed=seed).base_digest()

    assert digest(1.0, 4) == digest(1.0, 4)
    assert len({digest(1.0, 4), digest(1.0, 5), digest(2.0, 4), adapt().base_digest()}) == 4


def test_the_drawn_basis_leaves_the_digest_of_the_base() -> None:
    assert adapt().base_digest() == Head().adapt(make_model(), seed=0).base_digest()


def test_a_layer_in_two_places_stays_one() -> None:
    model = make_model()
    model.encoder.value = model.encoder.query
    adapted = FedSb(rank=2, targets=("query",)).adapt(model, seed=0)
    assert adapted.specification.names == (QUERY, "head.bias", "head.weight")
    assert model.encoder.value is model.encoder.query


def test_the_wrapped_layer_answers_for_itself() -> None:
    layer = adapt().model.get_submodule("encoder.query")
    assert isinstance(layer, FedSbLinear)
    assert (layer.in_features, layer.out_features) == (6, 4)
    assert layer.weight is layer.base.weight
    assert layer.bias is layer.base.bias


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1)
        self.head = nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("made", "field", "words"),
    [
        (lambda: FedSb(rank=0), "method.rank", "at least 1"),
        (lambda: FedSb(scale=0.0), "method.scale", "above 0"),
        (lambda: FedSb(rank=2, rank_used=3), "method.rank_used", "at most method.rank"),
        (lambda: FedSb(basis="ab"), "method.basis", "64 lower-case"),
        (lambda: FedSb(basis=7), "method.basis", "64 lower-case"),  # type: ignore[arg-type]
        (lambda: FedSb(basis_file="f"), "method.basis_file", "set method.basis"),
        (lambda: FedSb(rank=5).adapt(make_model(), seed=0), "method.rank", "at most 4"),
        (
            lambda: FedSb(rank=1, targets=("key",)).adapt(make_model(), seed=0),
            "method.targets",
            r"query \(\S+\), value",
        ),
        (
            lambda: FedSb(rank=1, targets=("encoder",)).adapt(make_model(), seed=0),
            "method.targets",
            "no linear layer",
        ),
        (
            lambda: FedSb(rank=1, targets=("head",)).adapt(make_model(), seed=0),
            "method.targets",
            "trains it whole",
        ),
        (
            lambda: FedSb(rank=1, targets=("out_proj",)).adapt(Attentive(), seed=0),
            "method.targets",
            "MultiheadAttention",
        ),
        (
            lambda: FedSb(rank=1, basis="0" * 64).adapt(make_model(), seed=0),
            "method.basis_file",
            "has the file",
        ),
    ],
)
def test_mistakes_are_named(made: object, field: str, words: str) -> None:
    assert callable(made)
    with pytest.raises(ConfigError, match=words) as caught:
        made()
    assert caught.value.field == field


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    method = FedSb(rank=1, basis="0" * 64, basis_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        method.adapt(make_model(), seed=0)
    assert caught.value.field == "method.basis_file"
