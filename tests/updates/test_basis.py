"""The frozen factors of Fed-SB: the same bits everywhere, or one file that is what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from blake3 import blake3
from safetensors import torch as safetensors
from torch import Tensor, nn

from p2pfed.errors import ConfigError
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import FedSb
from p2pfed.updates.methods.basis import (
    Basis,
    gradient_basis,
    hadamard_rows,
    portable_basis,
    save_basis,
)
from tests.updates.tiny import make_model

TARGETS = ("query", "value")
BATCHES = [torch.linspace(-1, 1, 12).view(2, 6), torch.linspace(0, 2, 12).view(2, 6)]


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = model(batch).pow(2).sum()
    return found


def make_bases(rank: int = 2) -> dict[str, Basis]:
    return gradient_basis(make_model(), BATCHES, loss, rank=rank, targets=TARGETS)


def adapt_with(path: Path, basis: str, rank: int = 2) -> AdaptedModel:
    method = FedSb(rank=rank, basis=basis, basis_file=str(path))
    return method.adapt(make_model(), seed=3)


def test_worked_rows() -> None:
    # Signs of the columns aside, rows of the Hadamard matrix of order 4, over the root of 4.
    rows = hadamard_rows(0, "x", count=4, size=4) * 2.0
    unsigned = rows * rows[:1]
    assert sorted(unsigned.tolist()) == [
        [1.0, -1.0, -1.0, 1.0],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, 1.0, -1.0, -1.0],
        [1.0, 1.0, 1.0, 1.0],
    ]


def test_golden_bits() -> None:
    basis = portable_basis(7, "encoder.query", rows=12, columns=20, rank=5)
    digest = blake3(basis.left.numpy().astype("<f4").tobytes())
    digest.update(basis.right.numpy().astype("<f4").tobytes())
    assert digest.hexdigest()[:32] == "d055e5d139d8fecf58a7b251d8853712"


def test_rows_are_orthogonal_where_the_size_is_a_power_of_two() -> None:
    rows = hadamard_rows(1, "x", count=16, size=64)
    assert torch.equal(rows @ rows.T, torch.eye(16))


def test_rows_are_independent_for_other_sizes() -> None:
    rows = hadamard_rows(1, "x", count=64, size=384)
    assert float(torch.linalg.cond(rows)) < 4.0
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_rows_of_small_layers_differ(size: int) -> None:
    rows = hadamard_rows(1, "x", count=size, size=size)
    assert len({tuple(row) for row in rows.tolist()}) == size


def test_layers_seeds_and_sides_have_other_rows() -> None:
    drawn = [
        hadamard_rows(seed, label, count=4, size=64)
        for seed, label in [(0, "x.A"), (0, "x.B"), (0, "y.A"), (1, "x.A")]
    ]
    assert len({tuple(rows.reshape(-1).tolist()) for rows in drawn}) == 4


def test_gradient_basis_holds_the_first_step_best() -> None:
    model = make_model()
    sum(loss(model, batch) for batch in BATCHES).backward()  # type: ignore[union-attr]
    assert model.encoder.query.weight.grad is not None
    step = model.encoder.query.weight.grad.sign()
    basis = make_bases(rank=2)["encoder.query"]
    torch.testing.assert_close(basis.right @ basis.right.T, torch.eye(2), atol=1e-5, rtol=0.0)
    held = basis.left @ (basis.left.T @ step @ basis.right.T) @ basis.right
    best = torch.linalg.svdvals(step)[2:].norm()
    torch.testing.assert_close((step - held).norm(), best, atol=1e-4, rtol=0.0)


def test_gradient_basis_leaves_the_model_as_it_was() -> None:
    model = make_model()
    model.encoder.scale.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_basis(model, BATCHES, loss, rank=1, targets=TARGETS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, it in model.named_parameters() if not it.requires_grad] == [
        "encoder.scale"
    ]
    assert all(each.grad is None for each in model.parameters())


def test_a_layer_without_effect_on_the_loss_is_named() -> None:
    model = make_model()
    with pytest.raises(ConfigError, match="does not depend on it") as caught:
        gradient_basis(
            model, BATCHES, lambda it, batch: it.encoder.query(batch).sum(), rank=1, targets=TARGETS
        )
    assert caught.value.value == "encoder.value"
    assert all(each.requires_grad for each in model.parameters())


def test_the_file_gives_its_factors(tmp_path: Path) -> None:
    bases = make_bases()
    name = save_basis(bases, tmp_path / "basis")
    adapted = adapt_with(tmp_path / "basis", name)
    assert torch.equal(adapted.fixed["encoder.value.fed_sb_A"], bases["encoder.value"].right)
    assert torch.equal(adapted.fixed["encoder.value.fed_sb_B"], bases["encoder.value"].left)
    leading = adapt_with(tmp_path / "basis", name, rank=1)
    assert torch.equal(leading.fixed["encoder.value.fed_sb_A"], bases["encoder.value"].right[:1])


def test_the_file_is_part_of_the_base(tmp_path: Path) -> None:
    first = save_basis(make_bases(), tmp_path / "first")
    second = save_basis(make_bases(rank=3), tmp_path / "second")
    digests = {
        FedSb(rank=2).adapt(make_model(), seed=3).base_digest(),
        adapt_with(tmp_path / "first", first).base_digest(),
        adapt_with(tmp_path / "second", second).base_digest(),
    }
    assert len(digests) == 3


def test_another_file_is_refused(tmp_path: Path) -> None:
    name = save_basis(make_bases(), tmp_path / "basis")
    data = bytearray((tmp_path / "basis").read_bytes())
    data[-1] ^= 1
    (tmp_path / "basis").write_bytes(data)
    with pytest.raises(ConfigError, match="get the run's file") as caught:
        adapt_with(tmp_path / "basis", name)
    assert caught.value.field == "method.basis_file"


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop("encoder.query.A"),
        lambda tensors: tensors.update({"encoder.query.A": torch.ones(2, 5)}),
        lambda tensors: tensors.update({"encoder.query.A": torch.ones(1, 6)}),
        lambda tensors: tensors.update({"encoder.query.B": torch.ones(8)}),
        lambda tensors: tensors["encoder.query.B"].fill_(float("nan")),
    ],
)
def test_factors_that_do_not_fit_are_named(
    tmp_path: Path, damage: Callable[[dict[str, Tensor]], object]
) -> None:
    save_basis(make_bases(), tmp_path / "basis")
    tensors = safetensors.load((tmp_path / "basis").read_bytes())
    damage(tensors)
    data = safetensors.save(tensors)
    (tmp_path / "basis").write_bytes(data)
    with pytest.raises(ConfigError, match=r"encoder\.query\.B and encoder\.query\.A must be"):
        adapt_with(tmp_path / "basis", blake3(data).hexdigest())


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "basis").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="no safetensors file"):
        adapt_with(tmp_path / "basis", blake3(b"no tensors").hexdigest())
