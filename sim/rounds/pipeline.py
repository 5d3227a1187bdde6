"""What an honest peer makes of the rows that it received: the integrator of real peers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from torch import Tensor

import robust
from p2pfed.learn.randomness import derive_seed
from robust.evaluation import Evaluate


class Pipeline(Protocol):
    """Turns an own row and neighbors' rows into the next own row; `robust.Integrator` is one."""

    def integrate(
        self,
        own: Tensor,
        rows: Sequence[robust.Row],
        *,
        mass_caps: Mapping[bytes | str, float],
        round: int,
        progress: float,
    ) -> robust.Integration:
        """Return the next own drift and a verdict per row."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Post:
    """What a peer's pipeline is made of.

    Attributes:
        index: Number of the peer.
        rule: A name that `robust.create` knows, or a rule.
        options: Further arguments of `robust.Integrator`.
        observes: Whether to compare rows for a `robust.ReputationLedger`.
        gram: Inner products of drifts, where those of the drifts themselves do not measure what an
            update does.
        electing: Makes a rule that reads vectors out of one that reads ranks.
        scores: Of a drift on the peer's validation rows, one per shard.
        seed: Of the run.
    """

    index: int
    rule: str | robust.Rule
    options: Mapping[str, Any] = field(default_factory=dict)
    observes: bool = False
    gram: Callable[[Tensor], Tensor] | None = None
    electing: Callable[[robust.Rule], robust.Rule] | None = None
    scores: Evaluate
    seed: int


MakePipeline = Callable[[Post], Pipeline]


def make_pipeline(post: Post) -> Pipeline:
    """Make the integrator of a peer: the one place that knows what `robust.Integrator` takes.

    Raises:
        RuleError: If the rule or an option is unknown or out of range.
    """
    given: dict[str, Any] = {
        "evaluate": post.scores,
        "observes": post.observes,
        "gram": post.gram,
        "electing": post.electing,
        "seed": derive_seed(post.seed, "rounds/integrator", post.index),
    }
    return robust.Integrator(post.rule, **{**given, **post.options})
