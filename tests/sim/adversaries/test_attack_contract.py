"""What every attack on vectors keeps to, whatever the neighborhood is like."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from p2pfed.errors import ConfigError, as_in_file
from sim.adversaries.attacks import (
    attack_names,
    create_attack,
    create_data_attack,
    data_attack_names,
    rank_attack_names,
    registry,
)
from sim.adversaries.view import View

DIMENSION = 12
REQUIRED: dict[str, dict[str, Any]] = {
    "backdoor": {"positions": [0]},
    "foreign-trojan": {"class_count": 3},
    "mirror-labels": {"class_count": 3},
    "shift-labels": {"class_count": 3},
}
EXTREME = [
    ("scaling", {"scale": 1e30}),
    ("sleeper+scaling", {"scale": 1e30, "first_round": 0}),
    ("adaptive-blend+alie", {"z": 1.5}),
    ("sybil+noise", {"spread": 0.1}),
    ("sybil+adaptive-blend+dissensus", {}),
    ("sign-flip", {"of": "update"}),
    ("inner-product", {"of": "update", "epsilon": 2.0}),
    ("min-max", {"direction": "update"}),
    ("min-sum", {"direction": "sign"}),
    ("tailored-multi-krum", {"direction": "unit"}),
    ("fang-krum", {"flipped": True}),
    ("uniform-noise", {"class_count": 3}),
    ("model-replacement", {"bounded": False}),
]
CALLS = [*((name, REQUIRED.get(name, {})) for name in attack_names()), *EXTREME]
DOCUMENT = (Path(__file__).parents[3] / "docs" / "attacks.md").read_text(encoding="utf-8")


def state_of(view: View) -> list[Any]:
    tensors = [view.honest, view.honest_before, view.own, view.honest_weights, *view.history]
    tensors += [*view.own_history, *(row for rows in view.honest_history for row in rows)]
    return [tensor.clone() for tensor in tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "params"), CALLS, ids=[str(call) for call in CALLS])
def test_attack_sends_one_vector_and_changes_nothing(
    make_view: Any, random_rows: Any, name: str, params: dict[str, Any], dtype: torch.dtype
) -> None:
    rows = random_rows(5, DIMENSION)
    view = make_view(
        rows,
        dtype=dtype,
        honest_before=(0.5 * rows).to(dtype),
        byzantine_count=2,
        history=(rows[0].to(dtype), rows[1].to(dtype)),
        own_history=(rows[2].to(dtype),),
        honest_history=(tuple(rows.to(dtype)),),
        rule=lambda vectors: vectors.median(dim=0).values,
    )
    before, draws = state_of(view), view.generator.get_state()
    attack = create_attack(name, **params)
    first = attack(view)
    assert first.shape == (DIMENSION,)
    assert first.dtype == dtype
    assert bool(torch.isfinite(first).all()) is (name != "non-finite")
    first.add_(1.0)  # what is sent shares no memory with what is known
    assert all(map(torch.equal, before, state_of(view)))
    view.generator.set_state(draws)
    again = attack(view)
    assert torch.equal(first, again + 1.0) or name == "non-finite"
    assert attack == create_attack(name, **params)


@pytest.mark.parametrize(("name", "params"), CALLS, ids=[str(call) for call in CALLS])
@pytest.mark.parametrize("byzantine_count", [1, 3])
def test_attack_bears_poor_neighborhoods(
    make_view: Any, random_rows: Any, name: str, params: dict[str, Any], byzantine_count: int
) -> None:
    alone = random_rows(1, DIMENSION)
    alike = random_rows(1, DIMENSION).repeat(4, 1)
    for rows in (alone, alike, torch.zeros_like(alone), random_rows(2, DIMENSION)):
        for weight in (0.0, 0.5):
            view = make_view(rows, byzantine_count=byzantine_count, byzantine_weight=weight)
            lie = create_attack(name, **params)(view)
            assert lie.shape == (DIMENSION,)
            assert bool(torch.isfinite(lie).all()) is (name != "non-finite")


@pytest.mark.parametrize("name", rank_attack_names())
def test_rank_attack_sends_a_ranking_and_changes_nothing(make_view: Any, name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    for count, dimension in ((1, 1), (1, 2), (3, 7), (4, 20)):
        rows = torch.stack([torch.randperm(dimension, generator=generator) for _ in range(count)])
        view = make_view(rows, dtype=torch.int64)
        before = state_of(view)
        lie = create_attack(name)(view)
        assert lie.dtype == torch.int64
        assert sorted(lie.tolist()) == list(range(dimension))
        assert all(map(torch.equal, before, state_of(view)))


def test_tables_do_not_share_names() -> None:
    tables = [
        registry.LOCAL,
        registry.NEIGHBORHOOD,
        registry.OMNISCIENT,
        registry.WRAPPERS,
        registry.RANK_ATTACKS,
        registry.DATA_ATTACKS,
    ]
    assert len({name for table in tables for name in table}) == sum(map(len, tables))


def makers() -> dict[str, Any]:
    return {
        **registry.LOCAL,
        **registry.NEIGHBORHOOD,
        **registry.OMNISCIENT,
        **registry.WRAPPERS,
        **registry.RANK_ATTACKS,
        **registry.DATA_ATTACKS,
    }


@pytest.mark.parametrize("name", sorted(makers()))
def test_attack_names_its_source_and_is_documented(name: str) -> None:
    maker = makers()[name]
    assert "Source:" in maker.__doc__
    assert "Differs:" in maker.__doc__
    (row,) = (line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |"))
    documented = row.split("|")[3]
    for field in inspect.signature(maker).parameters.values():
        if field.name == "attack":
            continue
        assert f"`{field.name}`" in documented or f"`{field.name}=" in documented, field.name
        if field.default not in (field.empty, None):
            default = f"{field.default:g}" if type(field.default) is float else field.default
            assert f"`{field.name}={default}`" in documented


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("unknown", {}, "attack"),
        ("unknown+alie", {}, "attack"),
        ("alie+sleeper", {}, "attack"),
        ("sleeper+sleeper", {}, "attack"),
        ("sleeper+sybil+sleeper+alie", {}, "attack"),
        ("alie", {"w": 1.0}, "w"),
        ("alie", {"name": 1.0}, "name"),
        ("alie", {"z": "1"}, "z"),
        ("sleeper", {"attack": "alie"}, "attack"),
        ("sleeper", {"first_round": -1}, "first_round"),
        ("sleeper+alie", {"z": float("nan")}, "z"),
        ("sign-flip", {"scale": True}, "scale"),
        ("sign-flip", {"of": "others"}, "of"),
        ("sign-flip", {"of": ["own"]}, "of"),
        ("noise", {"deviation": -1.0}, "deviation"),
        ("noise", {"on_own": 1}, "on_own"),
        ("uniform-noise", {"low": 0.3}, "high"),
        ("uniform-noise", {"class_count": 1}, "class_count"),
        ("inner-product", {"epsilon": -0.1}, "epsilon"),
        ("min-max", {"direction": "std"}, "direction"),
        ("optimized-alie", {"evaluations": 1}, "evaluations"),
        ("optimized-alie", {"shrinking": 1.0}, "shrinking"),
        ("optimized-inner-product", {"step": 0.0}, "step"),
        ("tailored-trimmed-mean", {"step": float("inf")}, "step"),
        ("fang-trimmed-mean", {"b": 1.0}, "b"),
        ("fang-krum", {"flipped": "yes"}, "flipped"),
        ("mimic", {"row": 0.5}, "row"),
        ("dissensus", {"epsilon": -1.0}, "epsilon"),
        ("non-finite", {"value": "none"}, "value"),
        ("non-finite", {"ratio": 2.0}, "ratio"),
        ("sybil", {"spread": -1.0}, "spread"),
        ("adaptive-step", {"kept": 1.5}, "kept"),
        ("adaptive-blend", {"evaluations": 0}, "evaluations"),
        ("foreign-trojan", {}, "class_count"),
        ("foreign-trojan", {"class_count": 3, "familiar": [3]}, "familiar"),
        ("foreign-trojan", {"class_count": 3, "familiar": 1}, "familiar"),
        ("random-free-rider", {"norm_max": 0.0}, "norm_max"),
        ("stale", {"age": 0}, "age"),
        ("stale-own", {"age": 0}, "age"),
        ("stale-copy", {"row": -1}, "row"),
        ("model-replacement", {"scale": 0.0}, "scale"),
        ("edge-control", {"kept_ratio": 1.1}, "kept_ratio"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_attack(name, **params)
    assert caught.value.field == field
    assert as_in_file(caught.value.value) in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("unknown", {}, "attack"),
        ("mirror-labels", {}, "class_count"),
        ("shift-labels", {"class_count": 1}, "class_count"),
        ("swap-labels", {"first": 1}, "second"),
        ("relabel", {"source": -1}, "source"),
        ("backdoor", {"positions": []}, "positions"),
        ("backdoor", {"positions": [-1]}, "positions"),
        ("backdoor", {"positions": [0], "ratio": 1.5}, "ratio"),
    ],
)
def test_what_no_data_attack_can_use_is_named(
    name: str, params: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        create_data_attack(name, **params)
    assert caught.value.field == field


def test_data_attacks_are_made_by_name() -> None:
    for name in data_attack_names():
        attack = create_data_attack(name, **REQUIRED.get(name, {}))
        inputs, labels = torch.rand(6, 4, generator=torch.Generator()), torch.arange(6) % 3
        before = inputs.clone(), labels.clone()
        poisoned, relabeled = attack(inputs, labels)
        assert (poisoned.shape, poisoned.dtype) == (inputs.shape, inputs.dtype)
        assert (relabeled.shape, relabeled.dtype) == (labels.shape, labels.dtype)
        poisoned.zero_()
        assert torch.equal(inputs, before[0])
        assert torch.equal(labels, before[1])
