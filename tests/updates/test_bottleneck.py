"""Bottleneck adapters in series and in parallel: as in the papers, from a common start."""

from collections.abc import Callable

import pytest
import torch

from p2pfed.errors import ConfigError
from p2pfed.updates.codecs import Float32
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import Bottleneck, Head
from tests.updates.tiny import frozen_and_trained, make_model

INPUTS = torch.linspace(-1, 1, 12).view(2, 6)
PLACEMENTS = pytest.mark.parametrize("placement", ["series", "parallel"])


def adapt(placement: str, seed: int = 0, scale: float = 1.0) -> AdaptedModel:
    return Bottleneck(placement=placement, size=3, scale=scale).adapt(make_model(seed), seed=3)


@PLACEMENTS
def test_only_adapters_and_the_head_travel(placement: str) -> None:
    adapted = adapt(placement)
    layers = [
        f"encoder.{layer}.adapter_{part}.{kind}"
        for layer in ("query", "value")
        for part in ("down", "up")
        for kind in ("bias", "weight")
    ]
    assert adapted.specification.names == (*layers, "head.bias", "head.weight")
    strangers, trained = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(trained) == 10


@PLACEMENTS
def test_it_starts_as_the_base_and_from_common_bits(placement: str) -> None:
    first, second = adapt(placement, 1), adapt(placement, 2)
    assert torch.equal(first.vector(), second.vector())
    assert bool(first.trainable["encoder.query.adapter_down.weight"].any())
    query = first.model.get_submodule("encoder.query")
    assert torch.equal(query(INPUTS), make_model(1).encoder.query(INPUTS))
    assert first.base_digest() == Head().adapt(make_model(1), seed=0).base_digest()


@PLACEMENTS
def test_the_layer_computes_what_the_papers_say(placement: str) -> None:
    adapted = adapt(placement, scale=0.5)
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(adapted.specification.size, generator=generator)
    adapted.load_vector(vector)
    parts = {
        name.removeprefix("encoder.query.adapter_"): value
        for name, value in adapted.specification.unflatten(vector).items()
    }
    outputs = make_model().encoder.query(INPUTS)
    into = outputs if placement == "series" else INPUTS
    middle = torch.tanh(into @ parts["down.weight"].T + parts["down.bias"])
    expected = outputs + 0.5 * (middle @ parts["up.weight"].T + parts["up.bias"])
    torch.testing.assert_close(adapted.model.get_submodule("encoder.query")(INPUTS), expected)


@pytest.mark.parametrize(("placement", "width"), [("series", 4), ("parallel", 6)])
def test_it_costs_its_size_times_both_its_sides(placement: str, width: int) -> None:
    size, rows, head = 3, 4, 4 * 3 + 3
    layer = size * (width + rows) + size + rows
    assert len(Float32().encode(adapt(placement).vector())) == 4 * (2 * layer + head)


def test_the_global_generator_is_left_alone() -> None:
    model, before = make_model(), torch.random.get_rng_state()
    Bottleneck(size=3).adapt(model, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("made", "field", "words"),
    [
        (lambda: Bottleneck(placement="beside"), "method.placement", "series, parallel"),
        (lambda: Bottleneck(size=0), "method.size", "at least 1"),
        (lambda: Bottleneck(activation="sine"), "method.activation", "gelu, relu, tanh"),
        (lambda: Bottleneck(scale=0), "method.scale", "above 0"),
        (
            lambda: Bottleneck(targets=("key",)).adapt(make_model(), seed=0),
            "method.targets",
            r"query \(\S+\), value",
        ),
    ],
)
def test_mistakes_are_named(made: Callable[[], object], field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        made()
    assert caught.value.field == field
