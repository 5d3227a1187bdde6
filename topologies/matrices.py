"""Matrices of any kind that can mix: arrays, and scipy.sparse arrays without loading scipy."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from topologies.errors import TopologyError
from topologies.parameters import shown

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# An array, or a scipy.sparse.csr_array.
Matrix: TypeAlias = "NDArray[np.float64] | csr_array"


def check_matrix(matrix: Matrix) -> None:
    """Complain about what is no square matrix of finite numbers.

    Raises:
        TopologyError: Naming what it is instead.
    """
    given: object = matrix
    # A scipy.sparse array is told by what it has.
    if not isinstance(given, np.ndarray) and not hasattr(given, "tocsr"):
        raise TopologyError(f"matrix={shown(given)}: use an array of shape (n, n)")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise TopologyError(f"matrix of shape {matrix.shape}: use one of shape (n, n)")
    if matrix.dtype.kind not in "biuf":
        raise TopologyError(f"matrix of type {matrix.dtype}: use one of float64")
    if not np.isfinite(matrix.sum()):
        raise TopologyError("matrix: has entries that are no finite numbers; use shares of 1")
