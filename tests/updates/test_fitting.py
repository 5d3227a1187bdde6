"""Constants that do not fit a model are named at once, with some that do."""

import logging
import re
import tomllib
from collections.abc import Callable

import pytest
from torch import nn

from p2pfed.errors import ConfigError
from p2pfed.updates.method import Method
from p2pfed.updates.methods import fitting
from p2pfed.updates.methods.fitting import describe_layers
from p2pfed.updates.registry import create_method


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class Encoder(nn.Module):
    """Layers that are told apart by the middle of their names."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [{"query": nn.Linear(8, 8), "out": nn.Linear(8, 16)} for _ in range(3)]
        self.blocks = nn.ModuleList(nn.ModuleDict(block) for block in blocks)
        self.attention = nn.MultiheadAttention(8, 2)
        self.score = nn.Linear(8, 4)


def refusal(method: Method, model: nn.Module) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        method.adapt(model, seed=0)
    return caught.value


@pytest.mark.parametrize("make", [small, Encoder])
@pytest.mark.parametrize("name", ["fed-sb", "lora", "lora-fair", "ffa-lora", "bottleneck"])
def test_one_error_names_all_that_defaults_lack_and_its_example_works(
    name: str, make: Callable[[], nn.Module]
) -> None:
    constants = {"targets": ["keys", "values"]}
    error = refusal(create_method(name, **constants), make())
    assert (error.field, error.value) == ("method", name)
    assert 'targets ["keys", "values"] are not there' in error.fix
    assert 'modules ["head"] are not there' in error.fix
    example = error.fix.rpartition("for example ")[2]
    fitting = tomllib.loads(re.sub(r", (?=\w+ =)", "\n", example))
    create_method(name, **fitting).adapt(make(), seed=0)


def test_a_rank_that_is_too_large_is_named_with_the_rest() -> None:
    error = refusal(create_method("fed-sb", targets=["0"]), small())
    assert 'modules ["head"] are not there; rank 64 is above 32' in error.fix
    assert 'targets = ["0"], modules = ["2"], rank = 32' in error.fix
    assert "0 (64x32), 2 (32x10)" in error.fix


@pytest.mark.parametrize(
    ("constants", "field"),
    [
        ({"targets": ["0"], "modules": ["2"]}, "method.rank"),
        ({"targets": ["0"], "rank": 4}, "method.modules"),
        ({"targets": ["1st"], "modules": ["2"], "rank": 4}, "method.targets"),
    ],
)
def test_what_alone_does_not_fit_is_the_field_of_the_error(
    constants: dict[str, object], field: str
) -> None:
    assert refusal(create_method("fed-sb", **constants), small()).field == field


@pytest.mark.parametrize("name", ["lora", "ffa-lora", "sparse-sum", "fed-sb", "bottleneck"])
def test_targets_that_are_not_there_say_which_are(name: str) -> None:
    constants = {} if name == "bottleneck" else {"rank": 4}
    method = create_method(name, targets=["query"], modules=["2"], **constants)
    error = refusal(method, small())
    assert error.field == "method.targets"
    assert error.fix == (
        '["query"] are not there; its linear layers, inputs x outputs, are 0 (64x32), 2 (32x10); '
        'for example targets = ["0"]'
    )


@pytest.mark.parametrize("name", ["lora", "ffa-lora", "sparse-sum", "fed-sb", "bottleneck"])
def test_targets_that_are_not_linear_say_which_are(name: str) -> None:
    constants = {} if name == "bottleneck" else {"rank": 4}
    method = create_method(name, targets=["1"], modules=["2"], **constants)
    error = refusal(method, small())
    assert error.field == "method.targets"
    assert error.fix.startswith("1 is no linear layer; its linear layers, inputs x outputs, are 0 ")
    assert error.fix.endswith('for example targets = ["0"]')


@pytest.mark.parametrize(("rank", "told"), [(32, 0), (33, 1)])
def test_a_rank_above_a_side_is_told_once(
    rank: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    fitting._tell.cache_clear()
    method = create_method("lora", rank=rank, targets=["0"], modules=["2"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            method.adapt(small(), seed=0)
    assert len(caplog.records) == told
    said = f'method.rank = {rank} is above 32, the smaller side of the layer "0": more than that'
    assert caplog.text.count(said) == told


def test_lora_takes_those_of_its_targets_that_are_there() -> None:
    method = create_method("lora", targets=["0", "query"], modules=[])
    assert [it for it in method.adapt(small(), seed=0).trainable if it.startswith("0.")]


def test_layers_are_listed_by_the_last_part_of_their_names() -> None:
    assert describe_layers(Encoder()) == (
        "query (8x8, 3 layers), out (8x16, 3 layers), score (8x4)"
    )


def test_long_lists_of_layers_are_cut() -> None:
    model = nn.ModuleDict({f"layer-{k}": nn.Linear(k + 1, 2) for k in range(40)})
    assert describe_layers(model).endswith(" and 28 more")
    assert len(describe_layers(model)) < 300
