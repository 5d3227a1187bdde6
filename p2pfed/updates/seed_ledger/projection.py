"""First-order training in the same ledger: trained vectors, projected onto K directions."""

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers


def unlimited(coefficients: Integers) -> Integers:
    """Return coefficients as they are."""
    return coefficients


@final
class Projector:
    """Turns trained differences into coefficients, and remembers what those leave out.

    A projection onto K of d dimensions keeps about K / d of a difference's squared length. The
    rest waits here and is added to the next difference; each epoch has other directions, which see
    another part of it. So take the next epoch with every local phase, and after the last the first.

    Source: Shu et al. 2024, "Ferret: federated full-parameter tuning at scale for large language
        models" (arXiv 2409.06277), its update by shared seeds; Karimireddy et al. 2019, "Error
        feedback fixes SignSGD and other gradient compression schemes", for what waits.
    Differs: Ferret estimates with random directions drawn for groups of parameters, with an error
        of about d / n; these directions are orthogonal, and the error is 1 - K / d.

    Args:
        terms: Of the run.
        residual: What waits already, as of `residual`.
    """

    def __init__(self, terms: Terms, residual: Tensor | None = None) -> None:
        self.terms = terms
        self._residual = residual

    @property
    def residual(self) -> Tensor | None:
        """What has not been published of all differences so far, shape (d,), float32."""
        return self._residual

    def project(
        self, difference: Tensor, *, epoch: int, limit: Callable[[Integers], Integers] = unlimited
    ) -> Integers:
        """Return the coefficients that stand for a difference and what waited before it.

        Args:
            difference: Shape (d,), float32, any device: trained minus initial weights, times the
                peer's share of the model.
            epoch: Whose directions.
            limit: Turns coefficients, shape (K,), into those that may be published.

        Returns:
            Shape (K,), int64, for `SeedLedger.next_operation`; clipped to the terms' largest, and
            what was cut off waits, too.

        Raises:
            LocalError: If the difference has another shape, or is not finite; nothing changes then.
        """
        if tuple(difference.shape) != (self.terms.size,):
            raise LocalError(
                f"difference of shape {tuple(difference.shape)}, expected ({self.terms.size},)"
            )
        if not bool(torch.isfinite(difference).all()):
            raise LocalError("the difference has NaN or infinity; did training diverge?")
        basis, unit = self.terms.basis(epoch), 2.0**-self.terms.fraction_bits
        wanted = difference if self._residual is None else difference + self._residual
        most = self.terms.coefficient_max
        rounded = (basis.encode(wanted) / unit).round().clamp(-most, most).to(torch.int64)
        coefficients = limit(rounded.cpu().numpy().astype(np.int64))
        published = basis.decode(torch.from_numpy(coefficients).to(rounded.device))
        published = published[: self.terms.size]
        self._residual = (wanted.double() - published.double() * unit).to(torch.float32)
        return coefficients
