"""Compiled loops for the middle ranks of columns; the one place that knows numba, an option.

A loop holds all values of a column in local variables. As it has neither branches nor a loop
inside, it becomes instructions on several columns at a time, and mostly waits for memory. Each
number of rows and of ranks to cut gets a loop of its own, written and compiled when it is first
wanted, until there are `LOOPS_MAX`: torch does what comes after them.

What it computes is what `robust.rules.coordinate_wise` computes by torch: the same operations in
the same order, and so the same values, to the last bit. Only of a zero and a negative zero another
one may come first, which is why the rule writes them alike.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import torch
from torch import Tensor

from robust.blocks import accumulator
from robust.inputs import Inputs
from robust.sorted_runs import UNITS
from robust.sorting_network import comparators

# Compiling pays after some calls, inversely to the columns. Measured, trimmed mean of 1e6 columns
# of fp32, f a fifth of the rows, CPU time of one core:
#     rows   to compile   compiled     torch   pays after
#        3       120 ms     0.8 ms    3.0 ms     54 calls
#        7       360 ms     1.4 ms    7.7 ms     58 calls
#       20       820 ms     3.8 ms     34 ms     27 calls
#       32     1,780 ms     5.8 ms     62 ms     31 calls
#       50     5,500 ms     101 ms    120 ms    295 calls
# The first loop of a process takes 600 ms more. With this many columns, 100 to 220 calls pay for a
# loop: a peer calls in every round, and the number of its neighbors changes seldom.
COLUMNS_MIN: Final = 2**18
# From about 40 rows on, a loop takes one column at a time: LLVM makes no more than 128 comparisons
# to learn that no result lies over a row, and there are three results.
ROWS_MAX: Final = 32

# A process keeps its loops, for numba gives back nothing that it made. Measured for 10 to 28 rows,
# 3.5 MB each. As many as there are numbers of rows that have one; a peer has few neighborhoods.
LOOPS_MAX: Final = ROWS_MAX

_NAMES: Final = {torch.float32: "float32", torch.float64: "float64"}
# What loading numba raises where a library is not there, or not as it was built for.
_BROKEN: Final = (
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)

_loops: Final[dict[tuple[int, int, torch.dtype], Callable[..., bool]]] = {}
_complaints: Final[list[str]] = []


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledMiddle:
    """The middle ranks of columns: all but the `cut` lowest and the `cut` highest.

    Attributes:
        row_count: How many values a column has.
        cut: Ranks to leave out at each end.
        dtype: The type to compute in.
    """

    row_count: int
    cut: int
    dtype: torch.dtype

    def average(self, inputs: Inputs, columns: slice, kept: Tensor | None) -> Tensor | None:
        """Average the middle ranks of some columns.

        Args:
            inputs: The rows.
            columns: Which columns.
            kept: Shape (rows,), float64, on the CPU. How many values each row has in the middle, as
                `kept_values` counts them, is added to it; None if nobody asks.

        Returns:
            Shape (columns,). None, and nothing is added, if a value is not finite or the values of
            a column sum to more than the type holds: torch then finds out which it is.
        """
        rows, first = _window(inputs, columns)
        width = columns.stop - columns.start
        mean = torch.empty(width, dtype=self.dtype)
        edges = torch.empty(2, width, dtype=self.dtype).numpy()
        fill = _fill_loop(self.row_count, self.cut, self.dtype)
        if not fill(rows, first, mean.numpy(), edges):
            return None
        if kept is not None:
            tallies = torch.empty(4, width, dtype=torch.int64)
            units = torch.empty(self.row_count, dtype=torch.int64)
            share = _share_loop(self.dtype)
            share(rows, first, edges, self.cut, tallies.numpy(), units.numpy())
            kept += units.to(torch.float64) / UNITS
        return mean


def find_middle(inputs: Inputs, cut: int) -> CompiledMiddle | None:
    """Return what computes the middle of these rows, or None where torch is to do it."""
    is_worth_it = inputs.dimension >= COLUMNS_MIN and inputs.row_count <= ROWS_MAX
    dtype = accumulator(inputs.vectors.dtype)
    has_loop = (inputs.row_count, cut, dtype) in _loops or len(_loops) < LOOPS_MAX
    if not (is_worth_it and has_loop and inputs.vectors.is_cpu and _is_numba_on()):
        return None
    return CompiledMiddle(row_count=inputs.row_count, cut=cut, dtype=dtype)


def _is_numba_on() -> bool:
    if _complaints:  # what is broken stays so until the process ends
        return False
    try:
        import numba
        import numba.extending

        # NUMBA_DISABLE_JIT is for finding mistakes in programs; the loops are none without it.
        return not vars(numba.config)["DISABLE_JIT"]
    except _BROKEN as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "numba":
            # It is there, and does not fit what is beside it.
            told = (
                f"numba cannot be loaded, so torch does its work: {type(error).__name__}: {error}"
            )
            _complaints.append(told)
            warnings.warn(told, RuntimeWarning, stacklevel=3)
        return False


def _window(inputs: Inputs, columns: slice) -> tuple[Any, int]:
    """Return a NumPy array of rows, and at which column of it the wanted ones begin."""
    if inputs.mixing is None and inputs.vectors.dtype in _NAMES:
        rows = inputs.vectors.numpy(force=True)
        if rows.flags.carray:  # in the order of C and aligned, as a loop reads them
            return rows, columns.start
    return inputs.block(columns).contiguous().numpy(), 0


def _fill_loop(row_count: int, cut: int, dtype: torch.dtype) -> Callable[..., bool]:
    key = (row_count, cut, dtype)
    if key not in _loops:
        _loops[key] = _compile_fill_loop(row_count, cut, dtype)
    return _loops[key]


def _compile_fill_loop(row_count: int, cut: int, dtype: torch.dtype) -> Callable[..., bool]:
    import numpy
    from numba import njit, types
    from numba.extending import intrinsic

    name = _NAMES[dtype]
    scope: dict[str, Any] = {
        "choose": intrinsic(_choose),
        "largest": numpy.finfo(name).max,
        "share": numpy.dtype(name).type(1.0 / (row_count - 2 * cut)),
    }
    exec("\n".join(_fill_source(row_count, cut)), scope)  # noqa: S102  # made of two numbers
    values = getattr(types, name)
    block = values[:, ::1]
    signature = types.boolean(block, types.intp, values[::1], block)
    loop: Callable[..., bool] = njit(signature, nogil=True)(scope["fill"])
    return loop


def _choose(_typing: Any, condition: Any, yes: Any, _no: Any) -> Any:
    """Write `yes if condition else no` as one instruction.

    The branches of a Python expression end as the same instructions, but it takes numba three to
    five times as long to get there, and for 50 rows more recursion than Python allows.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return yes(condition, yes, yes), generate


def _fill_source(row_count: int, cut: int) -> Iterator[str]:
    """Write the loop that averages; it returns whether all of its results are right."""
    yield "def fill(rows, first, means, edges):"
    yield "    lows, highs = edges[0], edges[1]"
    for row in range(row_count):
        yield f"    row_{row} = rows[{row}, first : first + len(means)]"
    yield "    for column in range(len(means)):"
    for row in range(row_count):
        yield f"        value_{row} = row_{row}[column]"
    yield f"        total = {' + '.join(f'value_{row}' for row in range(row_count))}"
    for low, high, is_low_needed, is_high_needed in comparators(row_count, cut):
        below, above = f"value_{low}", f"value_{high}"
        yield f"        is_sorted = {below} < {above}"
        yield f"        lower = choose(is_sorted, {below}, {above})"
        if is_high_needed:
            yield f"        {above} = choose(is_sorted, {above}, {below})"
        if is_low_needed:
            yield f"        {below} = lower"
    # Scaled before it is summed: a mean of values near the type's maximum must not overflow.
    yield f"        mean = value_{cut} * share"
    for rank in range(cut + 1, row_count - cut):
        yield f"        mean = mean + value_{rank} * share"
    # NaN if the total is not finite: comparisons alone may lose a value that is not. To subtract
    # 0.0 changes nothing; to add it would turn -0.0.
    yield "        means[column] = mean - (total - total)"
    yield f"        lows[column] = value_{cut}"
    yield f"        highs[column] = value_{row_count - 1 - cut}"
    yield "    is_right = True"
    yield "    for column in range(len(means)):"
    yield "        is_right = is_right & (abs(means[column]) <= largest)"
    yield "    return is_right"


@cache
def _share_loop(dtype: torch.dtype) -> Callable[..., None]:
    from numba import njit, types

    block = getattr(types, _NAMES[dtype])[:, ::1]
    whole = types.int64
    signature = types.void(block, types.intp, block, types.intp, whole[:, ::1], whole[::1])
    loop: Callable[..., None] = njit(signature, nogil=True, error_model="numpy")(_share)
    return loop


def _share(rows: Any, first: int, edges: Any, cut: int, tallies: Any, units: Any) -> None:
    """Do what `kept_values` does with the middle ranks of some columns, in units.

    Args:
        rows: Shape (n, any).
        first: Where the columns begin.
        edges: Shape (2, columns): the values of the first and of the last middle rank.
        cut: Ranks at each end that are not in the middle.
        tallies: Shape (4, columns), int64: a place to work in.
        units: Shape (n,), int64: the result.
    """
    lows, highs, width, end = edges[0], edges[1], edges.shape[1], len(rows) - cut
    inside = 0
    for row in range(len(rows)):
        values = rows[row, first : first + width]
        count = 0
        for column in range(width):
            count += (lows[column] <= values[column]) & (values[column] <= highs[column])
        units[row] = count * UNITS
        inside += count
    if inside == (end - cut) * width:
        return
    tallies[:] = 0
    low_count, low_end = tallies[0], tallies[1]
    high_count, high_start = tallies[2], tallies[3]
    for row in range(len(rows)):
        values = rows[row, first : first + width]
        for column in range(width):
            value = values[column]
            low_count[column] += value == lows[column]
            low_end[column] += value <= lows[column]
            high_count[column] += value == highs[column]
            high_start[column] += value < highs[column]
    low_units, high_units = low_end, high_start
    for column in range(width):
        # Rounded down, as whole numbers are divided: quotients are whole, or far from it.
        low_units[column] = (min(low_end[column], end) - cut) * UNITS / low_count[column]
        high_units[column] = (end - high_start[column]) * UNITS / high_count[column]
    for row in range(len(rows)):
        values = rows[row, first : first + width]
        total = 0
        for column in range(width):
            value = values[column]
            is_inside = (lows[column] < value) & (value < highs[column])
            at_high = high_units[column] if value == highs[column] else is_inside * UNITS
            total += low_units[column] if value == lows[column] else at_high
        units[row] = total
