"""Local training by losses alone: two forward passes a step, one integer to publish."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2pfed.updates.construction import check_integer, check_number
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers

# Losses of both probes of a step, from the one ahead on, to the slope between them.
Slope = Callable[[Tensor, Tensor], float]

_GRADIENT_MAX: Final = 1_000.0  # FedKSeed-Pro's clip: one wild loss must not decide all sampling


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ZerothOrder:
    """How a peer takes local steps. Peers need not agree on it: only integers are shared.

    Attributes:
        learning_rate: Of the local steps.
        share: What part of its steps the peer adds to the model, such as one over the number of
            peers.
        probe_length: How far the two probes of a step lie from the weights, per weight.
        step_count: Steps of a local phase.

    Raises:
        ConfigError: If a number is out of range.
    """

    learning_rate: float
    share: float
    probe_length: float = 1e-3
    step_count: int = 50

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "training.learning_rate", above=0.0)
        check_number(self.share, "method.share", above=0.0)
        check_number(self.probe_length, "method.probe_length", above=0.0)
        check_integer(self.step_count, "training.step_count", least=1)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalPhase:
    """What a local phase proposes; its own trajectory is forgotten, the ledger is the truth.

    Attributes:
        coefficients: Shape (K,), int64, for `SeedLedger.next_operation`.
        step_count: Steps taken.
        skipped: Steps of these that did nothing, because a loss was NaN or infinite.
        mean_loss: Of all finite probes; NaN if there were none.
    """

    coefficients: Integers
    step_count: int
    skipped: int
    mean_loss: float


def run_local_phase(
    loss: Callable[[Tensor, int], float | Tensor],
    start: Tensor,
    terms: Terms,
    settings: ZerothOrder,
    *,
    epoch: int,
    generator: torch.Generator,
    probabilities: Tensor | None = None,
    slope: Slope | None = None,
) -> LocalPhase:
    """Take local steps from a model, each along one direction of the epoch.

    A step measures the slope g along its direction by two probes and moves by -learning_rate * g
    along it; what it publishes is `-round(share * learning_rate * g * 2^q)`.

    Args:
        loss: Of a vector, at a step from 0: the number picks the batch, which both probes share.
            With `slope` it may be one of each example, shape (b,).
        start: The model of the ledger, shape (d,), float32, any device; it is not changed.
        terms: Of the run.
        settings: How to step.
        epoch: Whose directions.
        generator: Draws the directions; on the CPU.
        probabilities: Of each direction, shape (K,); alike if None.
        slope: Replaces the difference of the two losses by their distance, for instance by one
            that hides single examples. All that comes of the losses comes of it, but the mean loss.

    Source: Qin et al. 2024, "Federated full-parameter tuning of billion-sized language models
        with communication cost under 18 kilobytes" (FedKSeed, arXiv 2312.06353), its local steps;
        Malladi et al. 2023, "Fine-tuning language models with just forward passes" (MeZO), for the
        two-point estimate.
    Differs: signs instead of Gaussian directions; probes are made from a copy of the weights,
        because adding and taking away a direction does not lead back to the same floats; each
        direction comes with the learning rate in its coefficient, so that rates may change.
    """
    basis = terms.basis(epoch)
    chances = torch.ones(terms.direction_count) if probabilities is None else probabilities
    drawn = torch.multinomial(chances, settings.step_count, replacement=True, generator=generator)
    weights, probe = start.clone(), torch.empty_like(start)
    unit = settings.share * settings.learning_rate * 2.0**terms.fraction_bits
    coefficients = np.zeros(terms.direction_count, dtype=np.int64)
    losses: list[Tensor] = []
    skipped = 0
    for step, index in enumerate(drawn.tolist()):
        direction = basis.direction(index, device=start.device)
        ends = []
        for side in (settings.probe_length, -settings.probe_length):
            torch.add(weights, direction, alpha=side, out=probe)
            ends.append(torch.as_tensor(loss(probe, step), dtype=torch.float64))
        if slope is None:
            found = float(ends[0] - ends[1]) / (2.0 * settings.probe_length)
        else:
            found = slope(ends[0], ends[1])
        if not np.isfinite(found):
            skipped += 1
            continue
        losses += [it.cpu().view(-1) for it in ends]
        weights.add_(direction, alpha=-settings.learning_rate * found)
        wanted = float(np.clip(unit * found, -terms.coefficient_max, terms.coefficient_max))
        coefficients[index] -= round(wanted)
    np.clip(coefficients, -terms.coefficient_max, terms.coefficient_max, out=coefficients)
    return LocalPhase(
        coefficients=coefficients,
        step_count=settings.step_count,
        skipped=skipped,
        mean_loss=float(torch.cat(losses).mean()) if losses else float("nan"),
    )


@final
class DirectionHistory:
    """How much each direction has moved the model, to draw those more often that move it more.

    It stays with its peer: sampling is no part of what peers agree on.

    Args:
        terms: Of the run.
        unit: A coefficient of slope 1, share * learning_rate * 2^q; slopes above 1,000 count as
            that much.

    Source: FedKSeed-Pro, in the paper of FedKSeed.
    Differs: learns from coefficients in operations, its own and those of others, so that nothing
        else travels.
    """

    def __init__(self, terms: Terms, unit: float) -> None:
        self._most = _GRADIENT_MAX * unit
        self._sums = np.zeros(terms.direction_count)
        self._counts = np.zeros(terms.direction_count)

    def tallies(self) -> NDArray[np.float64]:
        """Return all that was observed, shape (2, K): summed magnitudes, and how often it moved."""
        return np.stack((self._sums, self._counts))

    def load_tallies(self, tallies: NDArray[np.float64]) -> None:
        """Go on from what `tallies` returned."""
        assert tallies.shape == (2, len(self._sums))
        self._sums, self._counts = tallies[0].copy(), tallies[1].copy()

    def observe(self, operation: Operation) -> None:
        """Learn from an operation of anybody."""
        self._sums += np.minimum(np.abs(operation.coefficients), self._most)
        self._counts += operation.coefficients != 0

    def probabilities(self) -> Tensor:
        """Return how likely to draw each direction, shape (K,), float64.

        The softmax of mean magnitudes that are scaled to [0, 1]: the likeliest is e times as
        likely as the least likely one.
        """
        means = torch.from_numpy(self._sums / np.maximum(self._counts, 1.0))
        spread = means.max() - means.min()
        scaled = (means - means.min()) / spread if spread > 0 else torch.zeros_like(means)
        return torch.softmax(scaled, dim=0)
