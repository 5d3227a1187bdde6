"""Weights are the same bits by torch and by compiled loops, and rounded once."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger import compiled, sharing
from p2pfed.updates.seed_ledger.basis import Basis
from p2pfed.updates.seed_ledger.weights import materialize

ROOT = Path(__file__).parents[3]
GOLDEN = "cc4d4d31db629225d4c12fba956fa952"
FRACTION_BITS = 20

Layers = list[tuple[Basis, Tensor]]


@pytest.fixture
def compile_for_few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "VALUES_MIN", 1)


def make_start(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size))


def make_layers(count: int, size: int, epochs: int, most: int = 10**5) -> Layers:
    generator = torch.Generator().manual_seed(count)
    return [
        (
            Basis(key=2**63 + epoch, direction_count=count, size=size),
            torch.randint(-most, most + 1, (count,), generator=generator),
        )
        for epoch in range(epochs)
    ]


def by_formula(start: Tensor, layers: Layers) -> Tensor:
    moved = sum(basis.decode(each)[: len(start)] for basis, each in layers)
    assert isinstance(moved, Tensor)
    return (start.double() + moved.double() * 2.0**-FRACTION_BITS).float()


def same_bits(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.view(torch.int32), second.view(torch.int32))


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(64, 64), (64, 1_000), (1_024, 5_000)])
def test_torch_follows_the_formula(count: int, size: int, epochs: int) -> None:
    start, layers = make_start(size), make_layers(count, size, epochs)
    assert same_bits(materialize(start, layers, FRACTION_BITS), by_formula(start, layers))


def test_sums_beyond_32_bits_follow_the_formula() -> None:
    start, layers = make_start(300), make_layers(64, 300, 2, most=2**40)
    assert same_bits(materialize(start, layers, FRACTION_BITS), by_formula(start, layers))
    too_large = make_layers(64, 300, 1, most=2**52)
    with pytest.raises(LocalError, match=r"2\^53 or more"):
        materialize(start, too_large, FRACTION_BITS)


@pytest.mark.parametrize("largest", [(2**31,), (2**30, 2**30)], ids=["one", "together"])
def test_the_first_sums_beyond_32_bits_do_not_wrap(largest: tuple[int, ...]) -> None:
    start, layers = make_start(64), make_layers(64, 64, len(largest), most=0)
    for (_, coefficients), value in zip(layers, largest, strict=True):
        coefficients[0] = value
    expected = by_formula(start, layers)
    assert float((expected - start).abs().max()) > 2.0**10
    assert same_bits(materialize(start, layers, FRACTION_BITS), expected)


def test_without_layers_the_start_is_the_model() -> None:
    start = make_start(300)
    weights = materialize(start, [], FRACTION_BITS)
    assert same_bits(weights, start)
    assert weights.data_ptr() != start.data_ptr()


def test_more_than_one_chunk_follows_the_formula() -> None:
    start, layers = make_start(300_001), make_layers(64, 300_001, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", None)  # as if it were not installed
        weights = materialize(start, layers, FRACTION_BITS)
    assert same_bits(weights, by_formula(start, layers))


# Compiling takes most of the time, and falls to whichever of these comes first.
@pytest.mark.slow
@pytest.mark.usefixtures("compile_for_few_values")
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(
    ("count", "size"),
    [(64, 64), (64, 65), (128, 1_000), (256, 3_000), (512, 513), (1_024, 5_000), (4_096, 9_999)],
)
def test_compiled_gives_the_same_bits(count: int, size: int, epochs: int) -> None:
    start, layers = make_start(size), make_layers(count, size, epochs)
    expected = by_formula(start, layers)
    before = start.clone()
    found = torch.empty(size)
    narrow = [(basis, each.int()) for basis, each in layers]
    assert compiled.materialize(start, narrow, FRACTION_BITS, found)
    assert same_bits(found, expected)
    assert same_bits(start, before)
    assert same_bits(materialize(start, layers, FRACTION_BITS), expected)
    assert materialize(start, layers, FRACTION_BITS, out=start) is start
    assert same_bits(start, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("compile_for_few_values")
def test_compiled_gives_the_golden_bytes() -> None:
    layers = [(Basis(key=5, direction_count=1_024, size=4_096), torch.arange(1_024) - 512)]
    # Whole numbers below 2^24 pass through float32 unharmed.
    weights = materialize(torch.zeros(4_096), layers, fraction_bits=0)
    data = weights.numpy().astype(np.int32).astype("<i4").tobytes()
    assert hashlib.sha256(data).hexdigest().startswith(GOLDEN)


@pytest.mark.slow
@pytest.mark.usefixtures("compile_for_few_values")
@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_matter(
    threads: int, is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(sharing, "_VALUES_PER_THREAD", 1_000)
    if not is_compiled:
        monkeypatch.setitem(sys.modules, "numba", None)
    start, layers = make_start(10_000), make_layers(128, 10_000, 2)
    assert len(sharing.split(range(layers[0][0].block_count), 10)) == threads
    assert same_bits(materialize(start, layers, FRACTION_BITS), by_formula(start, layers))
    basis, coefficients = layers[0]
    whole = Basis(key=basis.key, direction_count=128, size=128 * 79)
    assert torch.equal(whole.encode(whole.decode(coefficients)), coefficients.double())


def test_parts_cover_all_blocks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert sharing.split(range(10), 99) == [range(0, 2), range(2, 5), range(5, 7), range(7, 10)]
    assert sharing.split(range(5, 7), 2) == [range(5, 6), range(6, 7)]
    assert sharing.split(range(10), 0) == [range(0, 10)]


def test_sharing_leaves_the_callers_threads_and_hands_on_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(sharing, "split", lambda *_: [range(0, 1), range(1, 2)])
    inside = []
    sharing.share_blocks(lambda _: inside.append(torch.get_num_threads()), range(2), 1, on_cpu=True)
    assert inside == [1, 1]
    assert torch.get_num_threads() == before

    def fail(part: range) -> None:
        raise LocalError(f"in {part}")

    with pytest.raises(LocalError, match="in range"):
        sharing.share_blocks(fail, range(2), 1, on_cpu=True)


@pytest.mark.usefixtures("compile_for_few_values")
def test_what_loops_cannot_do_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = make_layers(64, 100, 1)
    narrow = [(basis, each.int()) for basis, each in layers]
    start, weights = make_start(100), torch.empty(100)
    strided = torch.empty(200)[::2]
    assert not compiled.materialize(start, layers, FRACTION_BITS, weights)  # int64
    assert not compiled.materialize(start, narrow, FRACTION_BITS, strided)
    assert not compiled.materialize(strided, narrow, FRACTION_BITS, weights)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert not compiled.materialize(start, narrow, FRACTION_BITS, weights)


def test_strided_vectors_follow_the_formula() -> None:
    layers = make_layers(64, 100, 1)
    start, out = make_start(200)[::2], torch.empty(200)[::2]
    materialize(start, layers, FRACTION_BITS, out=out)
    assert same_bits(out.contiguous(), by_formula(start.contiguous(), layers))


@pytest.mark.slow
def test_numba_is_not_loaded_for_few_values() -> None:
    program = (
        "import sys, torch\n"
        "from p2pfed.updates.seed_ledger.basis import Basis\n"
        "from p2pfed.updates.seed_ledger.weights import materialize\n"
        "basis = Basis(key=5, direction_count=64, size=100_000)\n"
        "materialize(torch.zeros(100_000), [(basis, torch.ones(64).long())], 20)\n"
        "print('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"
