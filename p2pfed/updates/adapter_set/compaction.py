"""Compaction: one increment in place of many, which everybody checks by random probes."""

import math
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.adapter_set.increment import Increment, make_increment
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.portable import mix
from p2pfed.updates.stacking import LowRankChange, compact, stack

# An error the size of the whole change passes as one of 4 % with a probability of 0.03 per probe:
# far too little, for all of them together, to be found by trying other bytes.
_PROBES: Final = 16


def make_compaction(members: Sequence[Increment], terms: Terms, *, epoch: int) -> Increment:
    """Make the increment of a small rank that is close to the sum of some others.

    Of ranks that double from 1, the first that is off by half of what the tolerance allows; of the
    largest that the terms allow, all of it.

    Args:
        members: At least one.
        terms: Of the run.
        epoch: Of the result.

    Raises:
        LocalError: If even the largest rank is further from them than the tolerance, or not within
            the terms.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
        low-rank adaptations", for stacking; the truncated singular value decomposition is that of
        `p2pfed.updates.stacking.compact`.
    """
    sums: list[LowRankChange | None] = []
    for layer in range(len(terms.shapes)):
        found = [change for each in members if (change := each.change(layer)) is not None]
        sums.append(stack(found, [1.0] * len(found)) if found else None)
    most = min(terms.rank_max, max(min(shape) for shape in terms.shapes))
    strict, rank = replace(terms, tolerance=terms.tolerance / 2), 1
    while True:
        changes = [each and compact(each, rank) for each in sums]
        made = make_increment(changes, terms, epoch=epoch)
        is_last = rank >= most
        try:
            check_compaction(made, members, terms if is_last else strict)
        except CodecError as error:
            if is_last:
                raise LocalError(f"{error}: take a larger rank_max, or 16 bits") from error
        else:
            return made
        rank = min(2 * rank, most)


def check_compaction(made: Increment, members: Sequence[Increment], terms: Terms) -> None:
    """Check that a compaction is what it replaces, up to the tolerance.

    For random signs x, the mean of |E x|^2 is the squared length (Frobenius norm) of E. Every
    machine comes to the same verdict: products are exact, and sums are rounded once.

    Args:
        made: The compaction.
        members: What it replaces, in the order of their log.
        terms: Of the run.

    Raises:
        CodecError: If it is further from them.

    Source: Hutchinson 1989, "A stochastic estimator of the trace of the influence matrix for
        Laplacian smoothing splines".
    """
    # Known only once the bytes of all of them are: nobody can write either for known probes.
    names = made.id + b"".join(each.id for each in members)
    errors, wholes = [], []
    for layer, (rows, columns) in enumerate(terms.shapes):
        probes = _probes(terms.run_id, names, layer, columns)
        whole = np.zeros((rows, _PROBES))
        for each in members:
            whole += _times(each, layer, probes, rows)
        errors += np.square(whole - _times(made, layer, probes, rows)).ravel().tolist()
        wholes += np.square(whole).ravel().tolist()
    error, length = math.fsum(errors), math.fsum(wholes)
    if error > terms.tolerance**2 * length:
        part = math.sqrt(error / length) if length else math.inf
        raise CodecError(f"a compaction that is off by {part:.3g}, at most {terms.tolerance:g}")


def _times(
    each: Increment, layer: int, probes: NDArray[np.float64], rows: int
) -> NDArray[np.float64]:
    factors = each.layers[layer]
    if factors is None:
        return np.zeros((rows, _PROBES))
    # Whole numbers below 2^53, in whatever order they are added: `Terms` has seen to that.
    product = factors.left.astype(np.float64) @ (factors.right.astype(np.float64) @ probes)
    return product * (each.weight * factors.scale)


def _probes(run_id: bytes, names: bytes, layer: int, columns: int) -> NDArray[np.float64]:
    """Return random signs, shape (columns, probes)."""
    label = run_id + b"probe" + names + layer.to_bytes(8, "little")
    key = int.from_bytes(blake2b(label, digest_size=8).digest(), "little")
    bits = mix(key, np.arange(columns * _PROBES, dtype=np.uint64))
    signs = 1.0 - 2.0 * (bits >> np.uint64(63)).astype(np.float64)
    return signs.reshape(columns, _PROBES)
