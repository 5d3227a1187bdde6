"""Compaction: one increment in place of many, which everybody checks by random probes."""

import math
from collections.abc import Sequence
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


def make_compaction(
    members: Sequence[Increment], terms: Terms, *, rank: int, epoch: int
) -> Increment:
    """Make the increment of a rank that is closest to the sum of some others.

    Args:
        members: At least two.
        terms: Of the run.
        rank: Of the result, per layer.
        epoch: Of the result.

    Raises:
        LocalError: If it is further from them than the tolerance, or not within the terms.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
        low-rank adaptations", for stacking; the truncated singular value decomposition is that of
        `p2pfed.updates.stacking.compact`.
    """
    ordered = sorted(members, key=lambda each: each.id)
    changes: list[LowRankChange | None] = []
    for layer in range(len(terms.shapes)):
        found = [change for each in ordered if (change := each.change(layer)) is not None]
        changes.append(compact(stack(found, [1.0] * len(found)), rank) if found else None)
    made = make_increment(changes, terms, epoch=epoch, members=[each.id for each in ordered])
    try:
        check_compaction(made, ordered, terms)
    except CodecError as error:
        raise LocalError(f"{error}: take a larger rank, or 16 bits") from error
    return made


def check_compaction(made: Increment, members: Sequence[Increment], terms: Terms) -> None:
    """Check that a compaction is what it replaces, up to the tolerance.

    For random signs x, the mean of |E x|^2 is the squared length (Frobenius norm) of E. Every
    machine comes to the same verdict: products are exact, and sums are rounded once.

    Args:
        made: The compaction.
        members: What it replaces, in ascending order of ids.
        terms: Of the run.

    Raises:
        CodecError: If it is further from them.

    Source: Hutchinson 1989, "A stochastic estimator of the trace of the influence matrix for
        Laplacian smoothing splines".
    """
    errors, wholes = [], []
    for layer, (rows, columns) in enumerate(terms.shapes):
        probes = _probes(terms.run_id, made.id, layer, columns)
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


def _probes(run_id: bytes, id: bytes, layer: int, columns: int) -> NDArray[np.float64]:
    """Return random signs, shape (columns, probes): known only once the bytes are."""
    digest = blake2b(run_id + b"probe" + id + layer.to_bytes(8, "little"), digest_size=8).digest()
    bits = mix(int.from_bytes(digest, "little"), np.arange(columns * _PROBES, dtype=np.uint64))
    signs = 1.0 - 2.0 * (bits >> np.uint64(63)).astype(np.float64)
    return signs.reshape(columns, _PROBES)
