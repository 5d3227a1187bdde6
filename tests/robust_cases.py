"""Rows to try rules on: what hypothesis draws, and what liars make of some of them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

DIMENSIONS = (1, 2, 3, 17, 257)

# Each rule has many properties, and each property many rules: 15 draws each, in half a minute. A
# profile with more examples scales with it.
FEW = settings(max_examples=max(1, settings().max_examples // 13))
# Attacks on a case that was drawn. All of them on each, some twenty, left time for four cases.
_ATTACKS_DRAWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Rows, of which the first is also the own one and the last f are the ones that may lie.

    Attributes:
        vectors: Shape (n, d).
        byzantine_count: f.
        seed: What else is drawn about the case comes from it.
        is_on_grid: Whether the entries are multiples of a half, so that ties are common and sums
            are exact.
        home: Takes a vector back to where the case was drawn, before it was moved, scaled or
            turned: held-out data moves with the rows.
    """

    vectors: Tensor
    byzantine_count: int
    seed: int
    is_on_grid: bool = False
    home: Callable[[Tensor], Tensor] = torch.clone
    unit: float = 1.0

    @property
    def row_count(self) -> int:
        return self.vectors.shape[0]

    @property
    def dimension(self) -> int:
        return self.vectors.shape[1]

    @property
    def own(self) -> Tensor:
        return self.vectors[0]

    @property
    def honest(self) -> Tensor:
        return self.vectors[: self.row_count - self.byzantine_count]

    @property
    def keys(self) -> list[str]:
        return [f"peer {row:02}" for row in range(self.row_count)]

    @property
    def honest_mean(self) -> Tensor:
        return self.honest.double().mean(dim=0)

    @property
    def honest_radius(self) -> float:
        """The largest distance of an honest row from the honest mean."""
        return float((self.honest.double() - self.honest_mean).norm(dim=1).max())

    @property
    def longest_honest(self) -> float:
        """The length of the longest honest row."""
        return float(self.honest.double().norm(dim=1).max())

    def generator(self, purpose: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + (purpose << 40))

    def normal(self, *shape: int, purpose: int = 0) -> Tensor:
        drawn = torch.randn(*shape, generator=self.generator(purpose), dtype=torch.float64)
        return drawn.to(self.vectors.dtype)

    def weights(self) -> Tensor:
        drawn = torch.rand(self.row_count, generator=self.generator(1), dtype=torch.float64)
        return drawn / drawn.sum()

    def to(self, dtype: torch.dtype) -> "Case":
        return replace(self, vectors=self.vectors.to(dtype))

    def moved(self) -> "Case":
        """Shift all rows; on the grid, by steps of it."""
        shift = self.normal(self.dimension, purpose=2)
        if self.is_on_grid:
            shift = shift.round()
        vectors = self.vectors + shift
        return replace(self, vectors=vectors, home=lambda vector: self.home(vector - shift))

    def scaled(self, exponent: int) -> "Case":
        """Change the unit by a power of two, which is exact."""
        scale = 2.0**exponent
        return replace(
            self,
            vectors=self.vectors * scale,
            unit=self.unit * scale,
            home=lambda vector: self.home(vector / scale),
        )

    def turned(self) -> tuple["Case", Tensor]:
        """Rotate all rows, and return the rotation; on the grid, by whole quarter turns."""
        rotation = self.rotation()
        vectors = self.vectors @ rotation.T
        return replace(self, vectors=vectors, home=lambda vector: self.home(vector @ rotation)), (
            rotation
        )

    def rotation(self) -> Tensor:
        if self.is_on_grid:
            order = torch.randperm(self.dimension, generator=self.generator(3))
            signs = self.normal(self.dimension, purpose=4).sign()
            return torch.eye(self.dimension, dtype=self.vectors.dtype)[order] * signs
        return torch.linalg.qr(self.normal(self.dimension, self.dimension, purpose=3)).Q

    def with_rows(self, rows: Tensor) -> "Case":
        return replace(self, vectors=rows)

    def with_lies(self, lies: Tensor) -> "Case":
        """Replace the last rows; `lies` has shape (d,) for each of them, or (f, d)."""
        count = self.byzantine_count if lies.ndim == 1 else len(lies)
        vectors = self.vectors.clone()
        vectors[self.row_count - count :] = lies.to(vectors.dtype)
        return self.with_rows(vectors)

    def with_far_lies(self, exponent: int, count: int | None = None) -> "Case":
        """Let f rows, or `count`, stand together at 10^exponent in a random direction."""
        count = self.byzantine_count if count is None else count
        direction = self.normal(self.dimension, purpose=5).double()
        direction /= direction.norm().clamp_min(1e-3)
        return self.with_lies((direction * 10.0**exponent).expand(count, -1))

    def score(self, vector: Tensor) -> list[float]:
        """Score a vector on four shards of held-out data: 1 at its best place, less elsewhere."""
        at_home = self.home(vector.double())
        best = torch.linspace(-0.5, 0.5, 4, dtype=torch.float64)
        distances = (at_home[None] - best[:, None]).square().mean(dim=1).sqrt()  # (4,)
        return torch.exp(-distances / 2).tolist()


class Tolerant(Protocol):
    """What says how many rows may be drawn, and how many liars among them."""

    rows_max: int
    dimensions: Sequence[int]
    offset: float

    def tolerance(self, row_count: int) -> int: ...


@st.composite
def cases(
    draw: st.DrawFn,
    known: Tolerant,
    *,
    dtype: torch.dtype = torch.float64,
    rows_min: int = 3,
    rows_max: int = 25,
    grid: bool = True,
) -> Case:
    """Draw rows and a number of liars that the rule bears among as many rows."""
    count = draw(st.integers(rows_min, min(rows_max, known.rows_max)))
    most = known.tolerance(count)
    return make_case(
        count,
        draw(st.sampled_from(known.dimensions)),
        byzantine_count=draw(st.integers(min(1, most), most)),
        seed=draw(st.integers(0, 2**32)),
        is_on_grid=grid and draw(st.booleans()),
        offset=known.offset,
        dtype=dtype,
    )


def make_case(
    count: int,
    dimension: int,
    *,
    byzantine_count: int,
    seed: int,
    is_on_grid: bool = False,
    offset: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    """Make rows of normal entries about an offset."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    if is_on_grid:
        vectors = (vectors * 2).round() / 2
    return Case(
        vectors=(vectors + offset).to(dtype),
        byzantine_count=byzantine_count,
        seed=seed,
        is_on_grid=is_on_grid,
    )


def attacks(case: Case) -> Iterator[tuple[str, Case]]:
    """Yield the case with what liars of the literature do, each with its name."""
    honest = case.honest
    mean, deviation = honest.mean(dim=0), honest.std(dim=0)
    direction = case.normal(case.dimension, purpose=6)
    direction = direction / direction.norm() * deviation.norm()
    for strength in (0.3, 1.0, 3.0, 30.0):
        yield f"shift {strength}", case.with_lies(mean + strength * direction)
        # Baruch, Baruch and Goldberg 2019, "A little is enough", in both directions.
        yield f"little {strength}", case.with_lies(mean + strength * deviation)
        yield f"little -{strength}", case.with_lies(mean - strength * deviation)
    for strength in (0.1, 2.0, 10.0):
        # Xie, Koyejo and Gupta 2020, "Fall of empires".
        yield f"inner product {strength}", case.with_lies(-strength * mean)
    for row in (0, len(honest) - 1):
        # Karimireddy, He and Jaggi 2022, "Byzantine-robust learning on heterogeneous datasets
        # via bucketing": copies of one honest peer.
        yield f"mimic {row}", case.with_lies(honest[row])
    yield from _aligned(case)


def draw_some(data: st.DataObject, trials: Iterable[tuple[str, Case]]) -> list[tuple[str, Case]]:
    """Draw some attacks of those that are named."""
    return data.draw(
        st.lists(
            st.sampled_from(list(trials)),
            min_size=_ATTACKS_DRAWN,
            max_size=_ATTACKS_DRAWN,
            unique_by=lambda it: it[0],
        )
    )


def _aligned(case: Case) -> Iterator[tuple[str, Case]]:
    """Let some honest rows stand apart, as in non-iid data, and the liars beside them."""
    most = max(1, case.byzantine_count)
    for apart in sorted({1, most}):
        for distance in (1.0, 10.0):
            vectors = case.vectors.clone()
            vectors[:apart, 0] += distance * math.sqrt(case.dimension)
            minority = case.with_rows(vectors)
            yield f"aligned {apart} {distance}", minority.with_lies(vectors[:apart].mean(dim=0))
