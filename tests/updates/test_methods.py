"""Methods: what trains, what travels, where it starts, and which mistakes are named."""

import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from torch import nn

from p2pfed import updates
from p2pfed.errors import ConfigError
from p2pfed.updates.methods import Full, Head, Lora
from p2pfed.updates.registry import CODECS, METHODS, create, create_codec, create_method
from tests.updates.tiny import frozen_and_trained, make_model


def test_every_method_is_listed() -> None:
    listed = (
        "adapter-set bottleneck fed-sb ffa-lora full head lora lora-fair lora-ranks peft "
        "projected ranks seeds sparse-sum update-ranks"
    )
    assert " ".join(METHODS) == listed
    assert set(METHODS) | set(CODECS) == set(updates.names())
    assert all(made.name == name for name, made in METHODS.items())


def test_full_trains_everything_from_portable_values() -> None:
    first = Full().adapt(make_model(1), seed=3)
    second = Full().adapt(make_model(2), seed=3)
    assert torch.equal(first.vector(), second.vector())
    assert not torch.equal(first.vector(), Full().adapt(make_model(1), seed=4).vector())
    assert first.specification.size == 2 * (6 * 4 + 4) + 1 + 4 * 3 + 3
    assert first.specification.names == tuple(sorted(first.specification.names))
    assert first.trainable["encoder.scale"].item() == 2.0


def test_full_keeps_given_values_when_asked() -> None:
    model = make_model()
    weight = model.head.weight.detach().clone()
    adapted = Full(initial="given").adapt(model, seed=3)
    assert torch.equal(adapted.trainable["head.weight"], weight)


def test_full_respects_what_the_model_froze() -> None:
    model = make_model()
    model.encoder.requires_grad_(False)
    assert Full().adapt(model, seed=0).specification.names == ("head.bias", "head.weight")


def test_head_trains_only_the_head() -> None:
    adapted = Head().adapt(make_model(), seed=0)
    assert adapted.specification.names == ("head.bias", "head.weight")
    assert adapted.head_names == {"head.bias", "head.weight"}
    assert frozen_and_trained(adapted) == (set(), {"head.bias", "head.weight"})


def test_lora_trains_factors_and_head_only() -> None:
    adapted = Lora(rank=2).adapt(make_model(), seed=0)
    assert adapted.specification.names == (
        "encoder.query.lora_A.weight",
        "encoder.query.lora_B.weight",
        "encoder.value.lora_A.weight",
        "encoder.value.lora_B.weight",
        "head.bias",
        "head.weight",
    )
    assert adapted.head_names == {"head.bias", "head.weight"}
    strangers, trained = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(trained) == 6


def test_lora_starts_as_the_base_with_common_factors() -> None:
    inputs = torch.linspace(-1, 1, 12).view(2, 6)
    first = Lora(rank=2).adapt(make_model(1), seed=3)
    second = Lora(rank=2).adapt(make_model(2), seed=3)
    assert torch.equal(first.vector(), second.vector())
    assert bool((first.trainable["encoder.query.lora_A.weight"] != 0).any())
    assert not bool((first.trainable["encoder.query.lora_B.weight"] != 0).any())
    encoder = make_model(1).encoder
    adapted_encoder = first.model.get_submodule("base_model.model.encoder")
    assert torch.equal(adapted_encoder(inputs), encoder(inputs))


def test_lora_without_heads() -> None:
    adapted = Lora(rank=1, modules=()).adapt(make_model(), seed=0)
    assert adapted.head_names == frozenset()
    assert len(adapted.specification.entries) == 4


@pytest.mark.parametrize("name", ["lora", "lora-fair"])
def test_both_factors_cost_rank_times_both_sides(name: str) -> None:
    rank, rows, columns, layers, head = 2, 4, 6, 2, 4 * 3 + 3
    adapted = create_method(name, rank=rank).adapt(make_model(), seed=0)
    size = layers * rank * (rows + columns) + head
    assert len(create_codec("float32").encode(adapted.vector())) == 4 * size


def test_vectors_go_in_and_out() -> None:
    adapted = Lora(rank=2).adapt(make_model(), seed=0)
    vector = torch.arange(float(adapted.specification.size))
    adapted.load_vector(vector)
    assert torch.equal(adapted.vector(), vector)
    vector += 1
    assert not torch.equal(adapted.vector(), vector)


def test_base_digest_is_that_of_what_is_frozen() -> None:
    digest = Head().adapt(make_model(), seed=0).base_digest()
    # The same base under another method; the fresh head of another machine; another seed.
    assert Lora(rank=2).adapt(make_model(), seed=1).base_digest() == digest
    other_head = make_model()
    nn.init.ones_(other_head.head.bias)
    assert Lora(rank=2).adapt(other_head, seed=0).base_digest() == digest
    other_base = make_model()
    nn.init.zeros_(other_base.encoder.query.bias)
    assert Head().adapt(other_base, seed=0).base_digest() != digest
    adapted = Head().adapt(make_model(), seed=0)
    placed = adapted.placed(torch.zeros(0).device, torch.bfloat16)
    assert placed.base_digest() == digest
    assert placed.model.get_parameter("encoder.query.weight").dtype == torch.bfloat16
    assert placed.model.get_parameter("head.weight").dtype == torch.float32


def test_running_statistics_stay_local_with_a_warning() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match="running statistics"):
        adapted = Full().adapt(model, seed=0)
    assert not any("running" in name for name in adapted.specification.names)


@pytest.mark.parametrize(
    ("made", "field", "words"),
    [
        (
            lambda: create_method("lorra"),
            "method",
            "bottleneck, fed-sb, ffa-lora, full, head, lora, lora-fair, lora-ranks",
        ),
        (lambda: create_method("lora", rang=4), "method.rang", "knows only rank, alpha"),
        (lambda: create_method("lora", rank=0), "method.rank", "at least 1"),
        (lambda: create_method("lora", rank=True), "method.rank", "at least 1"),
        (lambda: create_method("lora", alpha=-1), "method.alpha", "above 0"),
        (lambda: create_method("lora", targets=[]), "method.targets", "at least one"),
        (lambda: create_method("lora", targets="query"), "method.targets", "list"),
        (lambda: create_method("full", initial="random"), "method.initial", "portable, given"),
        (lambda: create_method(Full(), initial="given"), "method.initial", "is made"),
        (lambda: create_method("seeds", direction_count=1_000), "method.direction_count", "power"),
        (lambda: create_method("seeds", basis="gauss"), "method.basis", "srht-rad-v1"),
        (lambda: create_method("seeds", budget=5), "method.coefficient_max", "at most the budget"),
        (lambda: create_method("seeds", share=0), "method.share", "above 0"),
        (lambda: create_method("seeds", share=1.1), "method.share", "at most 1"),
        (lambda: create_method("lora", targets=0), "method.targets", r'such as \["0"\]'),
        (lambda: create_method("lora", targets="query"), "method.targets", r'as \["query"\]'),
        (lambda: create_method("lora", targets=[0, 2]), "method.targets", r'such as \["0", "2"\]'),
        (lambda: create_method("adapter-set", share=2), "method.share", "at most 1"),
        (lambda: create_method("seeds", modules=[""]), "method.modules", "at least one"),
        (lambda: create_method("seeds", probe_length=0.0), "method.probe_length", "above 0"),
        (lambda: create_method("seeds", sampling="best"), "method.sampling", "uniform, history"),
        (
            lambda: create_method("seeds", sampling="history", rounds_per_epoch=1),
            "method.rounds_per_epoch",
            "write 0",
        ),
        (lambda: create_method("projected", rounds_per_epoch=-1), "method.rounds_per_epoch", "0"),
        (lambda: create_method("projected", feedback=1.5), "method.feedback", "from 0 to 1"),
        (lambda: create_codec("int5"), "codec", "bfloat16, float32, int4, int8"),
        (lambda: create_codec("float32", block=3), "codec.block", "has no constants"),
        (lambda: create("sgd"), "update", "int8"),
        (lambda: Head(modules=("haed",)).adapt(make_model(), seed=0), "method.modules", "head"),
        (lambda: Lora(targets=("keys",)).adapt(make_model(), seed=0), "method.targets", "keys"),
        (lambda: Full().adapt(nn.ReLU(), seed=0), "method", "no parameter"),
    ],
)
def test_mistakes_are_named(made: object, field: str, words: str) -> None:
    assert callable(made)
    with pytest.raises(ConfigError, match=words) as caught:
        made()
    assert caught.value.field == field


def test_constants_come_from_toml() -> None:
    made = create_method("lora", rank=4, alpha=8, targets=["a", "b"], modules=[])
    assert made == Lora(rank=4, alpha=8.0, targets=("a", "b"), modules=())
    # An integer would be other bytes in the genesis.
    assert isinstance(made.describe()["alpha"], float)
    assert create("full") == Full()


LEDGER = {
    "modules": (),
    "initial": "portable",
    "basis": "srht-rad-v1",
    "direction_count": 1_024,
    "fraction_bits": 24,
    "coefficient_max": 2**20,
    "epoch_count": 64,
}

LOW_RANK = {
    "rank": 8,
    "alpha": 16.0,
    "targets": ("query", "value"),
    "modules": ("head",),
    "initial": "portable",
}


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        (
            "bottleneck",
            {
                "placement": "series",
                "size": 64,
                "activation": "tanh",
                "scale": 1.0,
                "targets": ("query", "value"),
                "modules": ("head",),
                "initial": "portable",
            },
        ),
        (
            "fed-sb",
            {
                "rank": 64,
                "scale": 1.0,
                "targets": ("query", "value"),
                "modules": ("head",),
                "initial": "portable",
                "basis": "",
            },
        ),
        ("ffa-lora", LOW_RANK),
        ("full", {"initial": "portable"}),
        ("head", {"modules": ("head",), "initial": "portable"}),
        ("lora", LOW_RANK),
        ("lora-fair", {**LOW_RANK, "ridge": 0.01}),
        (
            "peft",
            {
                "type": "LORA",
                "targets": ("query", "value"),
                "modules": ("head",),
                "initial": "portable",
                "task": "",
                "options": (),
            },
        ),
        ("projected", {**LEDGER, "budget": 2**22}),
        ("seeds", {**LEDGER, "budget": 2**23}),
    ],
)
def test_golden_constants(name: str, constants: dict[str, object]) -> None:
    # They stand in every genesis: another name or default is another run.
    made = create_method(name)
    assert made.describe() == constants
    assert create_method(name, **made.describe()) == made


def test_names_need_no_torch() -> None:
    code = "import sys, p2pfed.updates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lora_leaves_the_global_generator_alone() -> None:
    model = make_model()
    before = torch.random.get_rng_state()
    Lora(rank=2).adapt(model, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_frozen_statistics_are_neither_warned_of_nor_changed() -> None:
    model = nn.Sequential(OrderedDict(norm=nn.BatchNorm1d(2), head=nn.Linear(2, 3)))
    adapted = Head(modules=("head",)).adapt(model, seed=0)  # a warning would be an error here
    assert set(adapted.trainable) == {"head.weight", "head.bias"}


def test_frozen_statistics_are_part_of_the_base() -> None:
    def digest(mean: float) -> bytes:
        model = nn.Sequential(OrderedDict(norm=nn.BatchNorm1d(2), head=nn.Linear(2, 3)))
        model.norm.running_mean.fill_(mean)
        return create_method("head").adapt(model, seed=0).base_digest()

    assert digest(0.0) == digest(0.0)
    assert digest(0.0) != digest(1.0)


def test_head_warns_of_statistics_that_train() -> None:
    model = nn.Sequential(OrderedDict(norm=nn.BatchNorm1d(2), head=nn.Linear(2, 3)))
    with pytest.warns(UserWarning, match="running statistics"):
        Head(modules=("norm", "head")).adapt(model, seed=0)
