"""The weights of edges with which neighbors agree fastest: a convex problem, solved by Newton."""

from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from topologies.errors import TopologyError

EDGES_MAX: Final = 1_000  # as many equations at once, about 100 times: half a minute at most
ACCURACY: Final = 1e-6  # how far lambda may be from the smallest possible

_GROWTH: Final = 20.0  # of the sharpness between two centers; 10 to 100 make no difference
_CENTERED: Final = 1e-4  # Newton decrement; what is left of the sharpness's own error is far more
_STEPS_MAX: Final = 50  # a center is found in 5 to 20 steps
_SUFFICIENT: Final = 0.1  # share of the decrease that the slope promises
_SHORTEST: Final = 1e-10  # below, rounding decides what decreases

Vector = NDArray[np.float64]


@final
class _Point(NamedTuple):
    """Weights of the edges, (m,), and a bound above both |lambda_2| and |lambda_n|."""

    weights: Vector
    bound: float


@final
class _Problem(NamedTuple):
    """A graph as two matrices.

    Attributes:
        ends: (n, m), 1 and -1 at the two ends of each edge.
        touches: (n, m), 1 at both.
    """

    ends: Vector
    touches: Vector

    def deviation(self, weights: Vector) -> Vector:
        """Return W - 11'/n, (n, n): what is left of a round of gossip without consensus."""
        count = len(self.ends)
        return np.eye(count) - 1.0 / count - (self.ends * weights) @ self.ends.T

    def own(self, weights: Vector) -> Vector:
        """Return what the nodes keep, (n,)."""
        return 1.0 - self.touches @ weights


def fastest_weights(count: int, low: NDArray[np.intp], high: NDArray[np.intp]) -> Vector:
    """Find the weights of edges that make max(|lambda_2|, |lambda_n|) smallest.

    Args:
        count: Nodes.
        low: One end of each edge, (m,).
        high: The other end, (m,).

    Returns:
        One positive weight for each edge, (m,); those of no node sum to more than 1.

    Raises:
        TopologyError: If there are more than `EDGES_MAX` edges.

    Source: Boyd, Diaconis and Xiao 2004, "Fastest mixing Markov chain on a graph", as the
        semidefinite program for the smallest t with -t I <= W - 11'/n <= t I. The barrier method:
        Boyd and Vandenberghe 2004, "Convex optimization", algorithm 11.1.
    """
    edges = len(low)
    if edges > EDGES_MAX:
        raise TopologyError(
            f"kind='optimized': the graph has {edges} edges, of at most {EDGES_MAX}; "
            "use kind='metropolis'"
        )
    if edges == 0:
        return np.zeros(0)
    ends = np.zeros((count, edges))
    ends[low, np.arange(edges)], ends[high, np.arange(edges)] = 1.0, -1.0
    problem = _Problem(ends, np.abs(ends))
    weights = np.full(edges, 1.0 / (1.0 + problem.touches.sum(axis=1).max()))
    largest = np.abs(np.linalg.eigvalsh(problem.deviation(weights))).max()
    point = _Point(weights, float(largest) + 0.1)
    barriers, sharpness = 3 * count + edges, 1.0
    while barriers / sharpness > ACCURACY:
        sharpness *= _GROWTH
        point = _center(problem, point, sharpness)
    return point.weights


def _center(problem: _Problem, point: _Point, sharpness: float) -> _Point:
    """Minimize sharpness * bound plus the barriers of all constraints by Newton's method."""
    for _ in range(_STEPS_MAX):
        gradient, hessian = _derivatives(problem, point, sharpness)
        step = -np.linalg.solve(hessian, gradient)
        slope = float(gradient @ step)
        if -slope < 2.0 * _CENTERED:
            return point
        length, height = 1.0, _height(problem, point, sharpness)
        while True:
            tried = _Point(point.weights + length * step[:-1], point.bound + length * step[-1])
            if _height(problem, tried, sharpness) <= height + _SUFFICIENT * length * slope:
                break
            length /= 2.0
            if length < _SHORTEST:
                return point
        point = tried
    return point


def _height(problem: _Problem, point: _Point, sharpness: float) -> float:
    """Return what is minimized; infinity outside of the constraints."""
    own = problem.own(point.weights)
    if point.weights.min() <= 0.0 or own.min() <= 0.0:
        return float("inf")
    eigenvalues = np.linalg.eigvalsh(problem.deviation(point.weights))
    if point.bound <= np.abs(eigenvalues).max():
        return float("inf")
    room = np.concatenate(
        (point.bound - eigenvalues, point.bound + eigenvalues, point.weights, own)
    )
    return float(sharpness * point.bound - np.log(room).sum())


def _derivatives(problem: _Problem, point: _Point, sharpness: float) -> tuple[Vector, Vector]:
    """Return the gradient, (m + 1,), and the Hessian, (m + 1, m + 1), in weights and bound."""
    ends, touches = problem.ends, problem.touches
    deviation = problem.deviation(point.weights)
    inverses = [
        np.linalg.inv(point.bound * np.eye(len(ends)) - sign * deviation) for sign in (1.0, -1.0)
    ]
    own = problem.own(point.weights)
    across = [ends.T @ inverse @ ends for inverse in inverses]  # (m, m) each
    squares = [np.square(inverse @ ends).sum(axis=0) for inverse in inverses]  # (m,) each
    gradient = np.empty(len(point.weights) + 1)
    gradient[:-1] = np.diagonal(across[1]) - np.diagonal(across[0])
    gradient[:-1] += touches.T @ (1.0 / own) - 1.0 / point.weights
    gradient[-1] = sharpness - np.trace(inverses[0]) - np.trace(inverses[1])
    hessian = np.empty((len(gradient), len(gradient)))
    hessian[:-1, :-1] = np.square(across[0]) + np.square(across[1])
    hessian[:-1, :-1] += touches.T @ (touches / np.square(own)[:, None])
    hessian[:-1, :-1] += np.diag(1.0 / np.square(point.weights))
    hessian[:-1, -1] = hessian[-1, :-1] = squares[0] - squares[1]
    hessian[-1, -1] = sum(float(np.square(inverse).sum()) for inverse in inverses)
    return gradient, hessian
