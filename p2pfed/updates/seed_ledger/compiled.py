"""Weights from integers by loops that numba, an option, compiles; the same bits as by torch.

A block of K sums stays in the first cache of a core from its signs to its rounded weights. The
four shortest steps of its transform happen within vectors of 16 numbers: a plain loop over them
would take one number at a time, as neighbors in memory belong to different sides of a pair.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

from p2pfed.updates.seed_ledger.basis import Basis
from p2pfed.updates.seed_ledger.sharing import share_blocks
from p2pfed.updates.seed_ledger.sign_bits import FIRST_FACTOR, GOLDEN_GAMMA, SECOND_FACTOR

# To load numba and compile takes a process 1.2 s once. With this many values and one thread, a call
# takes 2 ms instead of 5 to 7, so that some 300 calls pay for it; a peer calls once a round.
VALUES_MIN: Final = 2**20

_LANES: Final = 16  # int32 in the widest vectors of today; LLVM splits them for others


def materialize(
    start: Tensor, layers: Sequence[tuple[Basis, Tensor]], fraction_bits: int, weights: Tensor
) -> bool:
    """Do what `weights.materialize` does, or return False where torch is to do it.

    Args:
        start: Shape (d,), float32.
        layers: Bases and their int32 coefficients, whose magnitudes sum to less than 2^31.
        fraction_bits: q.
        weights: Shape (d,), float32: the result.
    """
    first = layers[0][0]
    is_plain = start.is_cpu and start.is_contiguous() and weights.is_contiguous()
    is_plain = is_plain and layers[0][1].dtype == torch.int32
    if first.size < VALUES_MIN or not is_plain or not is_available():
        return False
    import numpy as np

    keys = np.array([basis.key for basis, _ in layers], dtype=np.uint64)
    coefficients = torch.stack([each for _, each in layers]).numpy()
    values, result = start.numpy(force=True), weights.numpy()
    loop, scale = _loop(), 2.0**-fraction_bits

    def work(blocks: range) -> None:
        loop(coefficients, keys, blocks.start, blocks.stop, values, scale, result)

    share_blocks(work, range(first.block_count), first.direction_count, on_cpu=True)
    return True


def is_available() -> bool:
    """Return whether numba is there and compiles."""
    try:
        import numba
    except ImportError:
        return False
    # A word's lowest bit is a vector's first sign only where the lowest byte comes first.
    return sys.byteorder == "little" and not vars(numba.config)["DISABLE_JIT"]


@cache
def _loop() -> Callable[..., None]:
    """Compile the loop over blocks."""
    import numpy as np
    from numba import njit, types
    from numba.extending import intrinsic

    word, inlined = np.uint64, njit(inline="always")
    load: Any = intrinsic(_transform_lanes)
    add: Any = intrinsic(_add_signed_lanes)
    gamma, first, second = word(GOLDEN_GAMMA), word(FIRST_FACTOR), word(SECOND_FACTOR)
    butterfly2, butterfly4 = inlined(_butterfly2), inlined(_butterfly4)

    @inlined
    def mix64(key: Any, counter: Any) -> Any:
        words = counter * gamma + key
        words = (words ^ (words >> word(30))) * first
        words = (words ^ (words >> word(27))) * second
        return words ^ (words >> word(31))

    def run(
        coefficients: Any, keys: Any, begin: Any, end: Any, start: Any, scale: Any, weights: Any
    ) -> None:
        count = coefficients.shape[1]
        values, sums = np.empty(count, np.int32), np.empty(count, np.int32)
        for block in range(begin, end):
            sums[:] = 0
            for layer in range(len(keys)):
                s_key = mix64(keys[layer], word(2 * block))
                d_key = mix64(keys[layer], word(2 * block + 1))
                for place in range(0, count, 64):
                    bits = mix64(s_key, word(place // 64))
                    for lane in range(0, 64, 16):
                        load(coefficients[layer], place + lane, bits >> word(lane), values)
                half = 16
                while 4 * half <= count:
                    butterfly4(values, half)
                    half *= 4
                if half < count:
                    butterfly2(values, half)
                for place in range(0, count, 64):
                    bits = mix64(d_key, word(place // 64))
                    for lane in range(0, 64, 16):
                        add(values, place + lane, bits >> word(lane), sums)
            offset = block * count
            old, new = start[offset : offset + count], weights[offset : offset + count]
            for place in range(len(new)):
                new[place] = np.float32(np.float64(old[place]) + np.float64(sums[place]) * scale)

    signature = types.void(
        types.int32[:, ::1], types.uint64[::1], types.intp, types.intp,
        types.Array(types.float32, 1, "C", readonly=True), types.float64, types.float32[::1],
    )  # fmt: skip
    loop: Callable[..., None] = njit(signature, nogil=True)(run)
    return loop


def _butterfly2(values: Any, half: Any) -> None:
    for first in range(0, len(values), 2 * half):
        for place in range(first, first + half):
            low, high = values[place], values[place + half]
            values[place], values[place + half] = low + high, low - high


def _butterfly4(values: Any, half: Any) -> None:
    """Take two steps of the transform, of `half` and of twice that, in one pass over memory."""
    for first in range(0, len(values), 4 * half):
        for place in range(first, first + half):
            a, b = values[place], values[place + half]
            c, d = values[place + 2 * half], values[place + 3 * half]
            plus_ab, minus_ab, plus_cd, minus_cd = a + b, a - b, c + d, c - d
            values[place] = plus_ab + plus_cd
            values[place + half] = minus_ab + minus_cd
            values[place + 2 * half] = plus_ab - plus_cd
            values[place + 3 * half] = minus_ab - minus_cd


def _transform_lanes(_typing: Any, source: Any, place: Any, bits: Any, target: Any) -> Any:
    """Write: give 16 numbers their signs, transform them among themselves, and store them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = _pointers(context, builder, signature, arguments)
        lanes = _negate_where(builder, builder.load(pointers[0], align=4), arguments[2])
        for half in (1, 2, 4, 8):
            partners = builder.shuffle_vector(
                lanes, lanes, _indices(lane ^ half for lane in range(_LANES))
            )
            sums, differences = builder.add(lanes, partners), builder.sub(partners, lanes)
            sides = (lane + _LANES if lane & half else lane for lane in range(_LANES))
            lanes = builder.shuffle_vector(sums, differences, _indices(sides))
        builder.store(lanes, pointers[1], align=4)
        return context.get_dummy_value()

    return _lanes_signature(source, place, bits, target), generate


def _add_signed_lanes(_typing: Any, source: Any, place: Any, bits: Any, target: Any) -> Any:
    """Write: give 16 numbers their signs and add them to the target's."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = _pointers(context, builder, signature, arguments)
        signed = _negate_where(builder, builder.load(pointers[0], align=4), arguments[2])
        before = builder.load(pointers[1], align=4)
        builder.store(builder.add(before, signed), pointers[1], align=4)
        return context.get_dummy_value()

    return _lanes_signature(source, place, bits, target), generate


def _lanes_signature(source: Any, _place: Any, _bits: Any, target: Any) -> Any:
    from numba import types

    return types.void(source, types.intp, types.uint64, target)


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Point at 16 numbers of the source and of the target, at the same place."""
    from llvmlite import ir

    lanes = ir.VectorType(ir.IntType(32), _LANES).as_pointer()
    source, place, _, target = arguments
    pointers = []
    for kind, argument in ((signature.args[0], source), (signature.args[3], target)):
        data = context.make_array(kind)(context, builder, argument).data
        pointers.append(builder.bitcast(builder.gep(data, [place]), lanes))
    return pointers


def _negate_where(builder: Any, lanes: Any, bits: Any) -> Any:
    """Negate the lanes whose bit is set."""
    from llvmlite import ir

    flags = builder.bitcast(
        builder.trunc(bits, ir.IntType(_LANES)), ir.VectorType(ir.IntType(1), _LANES)
    )
    return builder.select(flags, builder.sub(ir.Constant(lanes.type, [0] * _LANES), lanes), lanes)


def _indices(places: Any) -> Any:
    from llvmlite import ir

    return ir.Constant(ir.VectorType(ir.IntType(32), _LANES), list(places))
