"""The compiled loops give the values that torch gives, and torch serves without them."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import torch
from torch import Tensor

import robust
from robust import compiled
from robust.blocks import CPU_BLOCK_COLUMNS
from robust.compiled import COLUMNS_MIN, ROWS_MAX, CompiledMiddle, find_middle
from robust.inputs import Inputs, check_inputs
from robust.rule import Aggregation, Rule
from robust.sorting_network import comparators

ROOT = Path(__file__).parents[2]
F32, F64 = torch.float32, torch.float64
# Each (rows, cut, type to sum in) is compiled once for all tests here: keep them few.
LOOPS = [(1, 0, F32), (2, 0, F32), (5, 1, F32), (5, 2, F64), (20, 4, F32), (20, 9, F32)]
BORDERS = [1, 7, CPU_BLOCK_COLUMNS - 1, CPU_BLOCK_COLUMNS, CPU_BLOCK_COLUMNS + 1, 40_000]
# Compiling takes most of the time, and falls to whichever test comes first.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def compile_for_few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COLUMNS_MIN", 1)


def make_vectors(n: int, d: int, dtype: torch.dtype = F32, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).to(dtype)


def make_ties(n: int, d: int, dtype: torch.dtype = F32) -> Tensor:
    """Draw from -1, -0.0, 0.0 and 1, and let the first columns be alike in all rows."""
    values = torch.tensor([-1.0, -0.0, 0.0, 1.0], dtype=dtype)
    places = torch.randint(4, (n, d), generator=torch.Generator().manual_seed(n))
    places[1:, : d // 4] = places[0, : d // 4]
    return values[places]


def trimmed(cut: int) -> Rule:
    return robust.create("trimmed-mean", byzantine_count=cut)


def inputs_of(vectors: Tensor) -> Inputs:
    return check_inputs(
        vectors, own=None, weights=None, keys=None, gram=None, finds_wild_values=True
    )


def aggregate_by_torch(rule: Rule, vectors: Tensor, **arguments: object) -> Aggregation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", None)  # as if it were not installed
        assert find_middle(inputs_of(vectors), 0) is None
        return rule.aggregate(vectors, **arguments)


def check_alike(rule: Rule, vectors: Tensor, **arguments: object) -> None:
    assert find_middle(inputs_of(vectors), 0) is not None
    before = vectors.detach().clone()
    found = rule.aggregate(vectors, **arguments)
    alone = rule(vectors, **arguments)
    expected = aggregate_by_torch(rule, vectors, **arguments)
    assert found.vector.dtype == expected.vector.dtype
    assert torch.equal(bits(found.vector), bits(expected.vector))
    assert torch.equal(bits(alone), bits(expected.vector))
    assert torch.equal(found.coefficients, expected.coefficients)
    assert torch.equal(vectors, before)


def bits(vector: Tensor) -> Tensor:
    """Return what tells -0.0 from 0.0."""
    return vector.view(torch.uint8)


def middle_of(vectors: Tensor, cut: int) -> CompiledMiddle:
    middle = find_middle(inputs_of(vectors), cut)
    assert middle is not None
    return middle


@pytest.mark.parametrize(("n", "cut", "dtype"), LOOPS)
@pytest.mark.parametrize("d", BORDERS)
def test_results_are_those_of_torch(n: int, cut: int, dtype: torch.dtype, d: int) -> None:
    check_alike(trimmed(cut), make_vectors(n, d, dtype))


@pytest.mark.parametrize(("n", "cut", "dtype"), LOOPS)
def test_ties_and_signed_zeros_are_those_of_torch(n: int, cut: int, dtype: torch.dtype) -> None:
    check_alike(trimmed(cut), make_ties(n, 3_000, dtype))


def test_zeros_have_no_sign_whatever_the_order_of_the_rows() -> None:
    vectors = make_ties(5, 1_000)
    first = trimmed(1)(vectors)
    assert (first == 0.0).any()
    assert not first[first == 0.0].signbit().any()
    assert torch.equal(bits(trimmed(1)(vectors.flip(0))), bits(first))


@pytest.mark.parametrize(("n", "cut", "dtype"), LOOPS)
@pytest.mark.parametrize("exponent", ["least", "tiny", "large"])
def test_extreme_magnitudes_are_those_of_torch(
    n: int, cut: int, dtype: torch.dtype, exponent: str
) -> None:
    limits = torch.finfo(dtype)
    scale = {
        "least": limits.smallest_normal * limits.eps * 4,  # the values are subnormal
        "tiny": limits.tiny,
        "large": limits.max / 1e3,
    }[exponent]
    vectors = make_vectors(n, 1_000, dtype) * scale
    assert vectors.isfinite().all()
    check_alike(trimmed(cut), vectors)
    inputs = inputs_of(vectors)
    assert middle_of(vectors, cut).average(inputs, slice(0, 1_000), None) is not None


def test_median_is_that_of_torch() -> None:
    check_alike(robust.create("median"), make_vectors(20, 20_000))
    check_alike(robust.create("median"), make_ties(5, 100, F64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_summed_in_float32(dtype: torch.dtype) -> None:
    vectors = make_vectors(5, 20_000, dtype)
    assert middle_of(vectors, 1).dtype == F32
    check_alike(trimmed(1), vectors)
    check_alike(trimmed(1), make_ties(5, 1_000, dtype))
    check_alike(trimmed(1), torch.full((5, 10), torch.finfo(dtype).max, dtype=dtype))


def test_rows_that_do_not_lie_one_after_another_are_read_right() -> None:
    wide = make_vectors(10, 40_000)
    check_alike(trimmed(1), wide[::2])
    check_alike(trimmed(1), wide[:5, 3:20_000])
    check_alike(trimmed(1), wide[:5, ::2])
    check_alike(trimmed(1), wide[:5].T.contiguous().T)
    check_alike(trimmed(1), wide[:1, :30_000].expand(5, 30_000))
    check_alike(trimmed(1), wide[:5].clone().requires_grad_())


@pytest.mark.parametrize("name", ["nnm+trimmed-mean", "clipping+trimmed-mean", "arc+nnm+median"])
def test_mixed_rows_are_those_of_torch(name: str) -> None:
    params = {"radius": 100.0} if name.startswith("clipping") else {}
    rule = robust.create(name, byzantine_count=4, **params)
    vectors = make_vectors(20, 20_000)
    vectors[3] = vectors[11]
    check_alike(rule, vectors)
    check_alike(rule, vectors, keys=list(range(20))[::-1])


def test_a_block_whose_sums_overflow_is_left_to_torch() -> None:
    vectors = make_vectors(5, 40_000)
    vectors[:, 20_000] = 3e38  # their sum is beyond the range, their mean is not
    inputs, middle = inputs_of(vectors), middle_of(vectors, 1)
    kept = torch.zeros(5, dtype=F64)
    assert middle.average(inputs, slice(16_384, 32_768), kept) is None
    assert kept.tolist() == [0.0] * 5
    assert middle.average(inputs, slice(0, 16_384), kept) is not None
    assert float(kept.sum()) == pytest.approx(3 * 16_384)
    check_alike(trimmed(1), vectors)
    assert trimmed(1)(vectors)[20_000] == pytest.approx(3e38)


@pytest.mark.parametrize("name", ["trimmed-mean", "median", "nnm+trimmed-mean"])
@pytest.mark.parametrize("values", [(math.nan,), (math.inf,), (-math.inf,), (math.inf, -math.inf)])
@pytest.mark.parametrize("place", [0, 16_383, 16_390])
def test_wild_values_are_refused_as_by_torch(
    name: str, values: tuple[float, ...], place: int
) -> None:
    rule = robust.create(name, byzantine_count=4)
    vectors = make_vectors(20, 16_391)
    vectors[7 : 7 + len(values), place] = torch.tensor(values)
    for call in (rule, rule.aggregate, lambda rows: aggregate_by_torch(rule, rows)):
        with pytest.raises(robust.InputError) as caught:
            call(vectors)
        assert str(caught.value) == (
            f"vectors: NaN or infinity, {values[0]} in row 7, column {place}; robust.Integrator "
            "rejects such rows"
        )


def test_a_loop_is_made_for_many_columns_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COLUMNS_MIN", COLUMNS_MIN)
    row = torch.zeros(1)

    def is_compiled(n: int, d: int) -> bool:
        return find_middle(inputs_of(row.expand(n, d)), 0) is not None

    assert is_compiled(ROWS_MAX, COLUMNS_MIN)
    assert not is_compiled(ROWS_MAX + 1, COLUMNS_MIN)
    assert not is_compiled(ROWS_MAX, COLUMNS_MIN - 1)


@pytest.mark.no_cover  # compiling the largest loop is the longest
@pytest.mark.parametrize(("n", "cut"), [(20, 4), (ROWS_MAX, 6)])
def test_a_loop_takes_several_columns_at_a_time(n: int, cut: int) -> None:
    # What makes it fast; whether it does depends on how the source is written.
    loop = compiled._fill_loop(n, cut, F32)
    code = loop.inspect_llvm(loop.signatures[0])
    assert len(re.findall(r"fcmp \w+ <\d+ x float>", code)) > len(comparators(n, cut))


def test_loops_are_made_once_and_kept() -> None:
    made = compiled._fill_loop(5, 1, F32)
    trimmed(1)(make_vectors(5, 10))
    assert compiled._fill_loop(5, 1, F32) is made


def test_torch_does_what_comes_after_the_last_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_loops", {(5, 1, F32): compiled._fill_loop(5, 1, F32)})
    monkeypatch.setattr(compiled, "LOOPS_MAX", 2)
    vectors = make_vectors(6, 100)
    for count in (1, 2, 3, 4, 6):
        trimmed(0)(vectors[:count])
    assert set(compiled._loops) == {(5, 1, F32), (1, 0, F32)}
    assert find_middle(inputs_of(vectors), 0) is None
    middle_of(vectors[:5], 1)  # those that there are go on


def test_numba_that_is_told_not_to_compile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of(make_vectors(5, 100))
    assert find_middle(inputs, 1) is not None
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert find_middle(inputs, 1) is None


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise ImportError('Numba needs NumPy 1.0 or less')", "ImportError: Numba needs NumPy"),
        ("raise OSError('libllvmlite.so: no such file')", "OSError: libllvmlite.so"),
        ("raise SystemError('initialization failed')", "SystemError: initialization"),
        ("raise AttributeError('no attribute bool8')", "AttributeError: no attribute bool8"),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size"),
        ("import llvmlite_that_is_not_there", "ModuleNotFoundError: No module named 'llvm"),
        ("njit = None", "ModuleNotFoundError: No module named 'numba.extending'"),
    ],
)
def test_broken_numba_is_named_once_and_not_used(
    program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numba.py").write_text(f"{program}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [it for it in sys.modules if it.split(".")[0] == "numba"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(compiled, "_complaints", [])
    vectors = make_vectors(5, 100)
    with pytest.warns(RuntimeWarning, match=f"torch does its work: {said}") as warned:
        results = [trimmed(1)(vectors) for _ in range(2)]
    assert len(warned) == 1
    for result in results:
        assert torch.equal(result, aggregate_by_torch(trimmed(1), vectors).vector)


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def test_rules_work_where_numba_is_not_installed() -> None:
    said = run(
        "import sys; sys.modules['numba'] = sys.modules['llvmlite'] = None\n"
        "import robust, torch\n"
        f"rows = torch.arange(5.0)[:, None].expand(5, {COLUMNS_MIN})\n"
        "found = robust.create('nnm+trimmed-mean', byzantine_count=1).aggregate(rows)\n"
        "print(robust.create('median')(rows).unique().tolist(), found.coefficients.shape)"
    )
    assert said == "[2.0] torch.Size([5])\n"


def test_numba_is_not_loaded_before_it_is_needed() -> None:
    said = run(
        "import robust, sys, torch\n"
        "print('numba' in sys.modules)\n"
        f"robust.create('median')(torch.zeros(3, {COLUMNS_MIN - 1}))\n"
        "print('numba' in sys.modules)\n"
        f"robust.create('median')(torch.zeros(3, {COLUMNS_MIN}))\n"
        "print('numba' in sys.modules)"
    )
    assert said.split() == ["False", "False", "True"]
