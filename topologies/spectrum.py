"""What a mixing matrix promises: how fast peers agree, and how many of them an average is worth."""

from math import ceil, log
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from topologies.errors import TopologyError
from topologies.matrices import Matrix, check_matrix
from topologies.parameters import check_count, check_number

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_DENSE_NODES_MAX: Final = 32  # below, the sparse solvers cost more than they save, or refuse
_SYMMETRIC_WITHIN: Final = 1e-12
_LANCZOS_VECTORS: Final = 32
_LANCZOS_RESTARTS: Final = 250  # enough for all but the longest rings and lines
_LANCZOS_WITHIN: Final = 1e-7  # bound on the error; it is usually the square of it
_ROUGHLY: Final = 1e-2  # enough to tell an end of the spectrum that is not the further one from 0
_SHIFT: Final = 1e-6  # out of the spectrum: far above rounding, and near to it on the scale of gaps
_EXACT_NODES_MAX: Final = 1_000  # of sparse matrices: dense ones of more take seconds, and room
_DIRECTIONS: Final = 16  # counted exactly: few slow ones can hold most of the variance
_POWERS: Final = 4  # of the matrix, which leave of random vectors the slow directions above all
_PROBES: Final = 128
_DECAY_MAX: Final = 0.999  # more takes too long of sparse matrices
_FORGOTTEN: Final = 1e-6  # share of the sum that the rest of it may have


def slowest_factor(matrix: Matrix) -> float:
    """Compute max(|lambda_2|, |lambda_n|): what is left of disagreement after a round, in the end.

    If the matrix is symmetric, no round leaves more.

    Args:
        matrix: Rows summing to 1, (n, n); an array, or a scipy.sparse array.

    Returns:
        0 to 1; 0 for a lone node.

    Raises:
        TopologyError: If `matrix` is no such matrix.

    Source: Xiao and Boyd 2004, "Fast linear iterations for distributed averaging", the asymptotic
        convergence factor.
    Differs: nothing.
    Cost: O(n^3) time for arrays. Of sparse matrices one eigenvalue is looked for: about
        O(edges / sqrt(gap)) by Lanczos's method, to within 1e-7; where that takes too long, or is
        not exact enough, by factors of the shifted matrix, which are thin for rings and trees.
    """
    check_matrix(matrix)
    matrix = _dense_if_small(matrix)
    if matrix.shape[0] == 1:
        return 0.0
    if not isinstance(matrix, np.ndarray):
        return _sparse_factor(matrix)
    if _is_symmetric(matrix):
        return float(np.abs(np.linalg.eigvalsh(matrix)[:-1]).max())
    return float(np.sort(np.abs(np.linalg.eigvals(matrix)))[-2])


def rounds_to(ratio: float, factor: float, *, steps: int = 1) -> int:
    """Predict after how many rounds the distance from consensus is at most `ratio` of what it was.

    Args:
        ratio: Above 0 and below 1, such as 1e-3.
        factor: `slowest_factor` of the matrix, below 1.
        steps: Of gossip in a round, Q.

    Returns:
        The smallest k with factor^(k steps) <= ratio, at least 1.

    Raises:
        TopologyError: If an argument is out of range; with a factor of 1 peers never agree.
    """
    ratio = check_number("ratio", ratio, least=1e-300, most=0.999999)
    factor = check_number("factor", factor, least=0.0, most=1.0)
    steps = check_count("steps", steps, least=1)
    if factor == 1.0:
        raise TopologyError("factor=1.0: peers never agree; use kind='lazy' or kind='metropolis'")
    if factor == 0.0:
        return 1
    # Rounding must not ask for one more round where a power is exact.
    return max(1, ceil(log(ratio) / (steps * log(factor)) - 1e-9))


def effective_neighbors(matrix: Matrix, *, decay: float = 0.9) -> float:
    """Compute how many peers' noise a peer's model averages over, while old noise is forgotten.

    Each round every peer adds noise of its own, mixes, and forgets a part. Alone, the noise of a
    peer's model would have a variance of 1 / (1 - decay); this is how many times smaller it is, on
    average over the peers. Unlike the gap it says what a topology is worth to training whose noise
    does not last for long, and it does not fall with n on a ring.

    Args:
        matrix: Rows summing to 1, (n, n); an array, or a scipy.sparse array.
        decay: Share of the variance of old noise that is left after a round, 0 to 0.999:
            1 / (1 - decay) rounds count. With 0 it is n / (sum of squared entries).

    Returns:
        From 1 (nobody talks) to n (all are averaged) if the matrix is doubly stochastic. Of sparse
        matrices of more than 1,000 nodes an estimate, always the same, that was off by 1.1 %
        at most in the shapes of this package with 1,002 nodes, and is off by less in larger ones.

    Raises:
        TopologyError: If `decay` is out of range, or `matrix` is no such matrix.

    Source: Vogels, Hendrikx and Jaggi 2022, "Beyond spectral gap: the role of the topology in
        decentralized learning", the definition of the effective number of neighbors n_W(gamma):
        of x <- W (sqrt(gamma) x + noise), which for a symmetric W has the variance
        sum of lambda_i^2 / (1 - gamma lambda_i^2), divided by n.
    Differs: estimates are those of Meyer et al. 2021, "Hutch++: optimal stochastic trace
        estimation", with 16 directions and 128 probes.
    Cost: O(n^3) time up to 1,000 nodes and for arrays, times log(1 / (1 - decay)) if they are not
        symmetric; at most O(edges / (1 - decay)) for larger sparse ones.
    """
    decay = check_number("decay", decay, least=0.0, most=_DECAY_MAX)
    check_matrix(matrix)
    count: int = matrix.shape[0]
    alone = 1.0 / (1.0 - decay)
    if not isinstance(matrix, np.ndarray):
        if count > _EXACT_NODES_MAX:
            return alone * count / _estimated_variance(matrix, decay)
        matrix = cast(NDArray[np.float64], matrix.toarray())
    if _is_symmetric(matrix):
        squares = np.square(np.linalg.eigvalsh(matrix))  # (n,)
        return alone / float(np.mean(squares / (1.0 - decay * squares)))
    return alone * count / _variance(matrix, decay)


def _variance(matrix: NDArray[np.float64], decay: float) -> float:
    """Add up what is left of the noise of all rounds before: twice as many with each step."""
    left, found = np.sqrt(decay) * matrix, matrix @ matrix.T  # (n, n)
    total, added = float(np.trace(found)), np.inf
    while added > _FORGOTTEN * total:
        found = found + left @ found @ left.T
        left = left @ left
        total, added = float(np.trace(found)), float(np.trace(found)) - total
    return total


def _estimated_variance(matrix: "csr_array", decay: float) -> float:
    """Estimate `_variance` by what is left of some directions and of random probes beside them."""
    count = matrix.shape[0]
    generator = np.random.default_rng(0)
    probes = generator.choice((-1.0, 1.0), size=(count, _PROBES))
    likely = generator.choice((-1.0, 1.0), size=(count, _DIRECTIONS))
    for _ in range(_POWERS):
        likely = matrix @ likely
    # Consensus is the first direction, of which nothing is ever lost but by forgetting.
    directions = np.linalg.qr(np.column_stack([np.ones(count), likely])).Q
    probes -= directions @ (directions.T @ probes)
    # As long as all other directions together are.
    probes *= np.sqrt((count - directions.shape[1]) / np.square(probes).sum())
    left, weight, total = np.column_stack([directions[:, 1:], probes]), 1.0, 0.0
    while True:
        left = matrix @ left
        term = weight * float(np.square(left).sum())
        total += term
        # None of the terms to come is longer than the last one.
        if term <= _FORGOTTEN * (1.0 - decay) * (total + 1.0):
            return 1.0 / (1.0 - decay) + total
        weight *= decay


def _dense_if_small(matrix: Matrix) -> Matrix:
    if isinstance(matrix, np.ndarray) or matrix.shape[0] > _DENSE_NODES_MAX:
        return matrix
    return cast(NDArray[np.float64], matrix.toarray())


def _is_symmetric(matrix: Matrix) -> bool:
    return float(abs(matrix - matrix.T).max()) <= _SYMMETRIC_WITHIN


def _sparse_factor(matrix: "csr_array") -> float:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

    found = _symmetrized(matrix)
    start = np.random.default_rng(0).normal(size=matrix.shape[0])  # the same each time
    options: dict[str, Any] = {"v0": start, "return_eigenvectors": False}
    options |= {"maxiter": _LANCZOS_RESTARTS, "ncv": _LANCZOS_VECTORS}
    if found is None:
        try:
            return float(np.abs(eigs(matrix, k=2, which="LM", **options)).min())
        except ArpackNoConvergence:
            raise TopologyError("matrix: is not symmetric, and too large; use an array") from None
    symmetric, consensus = found
    others = LinearOperator(
        matrix.shape,
        matvec=lambda x: symmetric @ x - consensus * (consensus @ x),
        dtype=np.float64,
    )
    options["k"] = 1
    try:
        (largest,) = np.abs(eigsh(others, which="LM", tol=_LANCZOS_WITHIN, **options))
        if largest < 1.0 - 100.0 * _LANCZOS_WITHIN:
            return float(largest)
    except ArpackNoConvergence:
        pass
    (high,), (low,) = (eigsh(others, which=end, tol=_ROUGHLY, **options) for end in ("LA", "SA"))
    found_at_ends = []
    if high > -low - 3.0 * _ROUGHLY:
        two = eigsh(symmetric.tocsc(), sigma=1.0 + _SHIFT, **options | {"k": 2})
        found_at_ends.append(float(two.min()))
    if -low > high - 3.0 * _ROUGHLY:
        (one,) = eigsh(symmetric.tocsc(), sigma=-1.0 - _SHIFT, **options)
        found_at_ends.append(-float(one))
    return max(found_at_ends)


def _symmetrized(matrix: "csr_array") -> "tuple[csr_array, NDArray[np.float64]] | None":
    """Find a symmetric matrix with the same eigenvalues, and its eigenvector of length 1 for 1.

    Plain means of neighborhoods are such: W_ij sqrt(W_jj / W_ii) is symmetric, as random walks are
    that look the same when time runs backwards.
    """
    own = matrix.diagonal()  # (n,)
    if _is_symmetric(matrix):
        own = np.ones_like(own)
    elif (own <= 0.0).any():
        return None
    roots = np.sqrt(own)
    scaled = matrix.multiply(roots[None, :]).multiply(1.0 / roots[:, None]).tocsr()
    direction = 1.0 / roots
    return (scaled, direction / np.linalg.norm(direction)) if _is_symmetric(scaled) else None
