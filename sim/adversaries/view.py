"""What an attacker knows about one target in one round, and what an attack is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What an omniscient coalition knows about one target in one round.

    Rows are drifts: vector - anchor.

    Attributes:
        honest: (h, d); what the target's honest neighborhood publishes, the target's own row first.
        honest_before: (h, d); the same rows before the local steps of this round.
        own: (d,); what the attacker would publish if it were honest.
        honest_weights: (h,); mixing weights of the honest rows at the target.
        byzantine_weight: Total mixing weight of the liars at the target.
        byzantine_count: Liars among the target's neighbors, at least 1.
        round: Number of the round, from 0.
        history: Earlier means of the honest rows, (d,) each, oldest first, a few.
        own_history: Earlier rounds of `own`, (d,) each, oldest first, a few.
        honest_history: Earlier rounds of `honest`, h rows (d,) each, oldest first, a few.
        rule: The target's rule on (n, d) rows, `honest` and then those of the liars; None if it is
            not known.
        generator: Of the coalition, derived from seed and label.
    """

    honest: Tensor
    honest_before: Tensor
    own: Tensor
    honest_weights: Tensor
    byzantine_weight: float
    byzantine_count: int
    round: int
    history: tuple[Tensor, ...]
    rule: Callable[[Tensor], Tensor] | None
    generator: torch.Generator
    own_history: tuple[Tensor, ...] = ()
    honest_history: tuple[tuple[Tensor, ...], ...] = ()


# What this attacker sends to this target, (d,); ours never change the view.
Attack: TypeAlias = Callable[[View], Tensor]
