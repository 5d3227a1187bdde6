"""How far the training of a peer is: the part of the schedule that survives a restart."""

import math
from dataclasses import dataclass
from typing import final

from p2pfed.core.events import Evaluation


@final
@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a peer stands.

    Attributes:
        round: Current round, from 0.
        gossip_step: Current gossip step of the round, from 1.
        published: Whether the update of this step is out, so that integration comes next.
        model_job: The job whose model is current, None before the first.
        elapsed_s: Training time so far, over all lives, in seconds.
        best_score: Best validation score so far.
        plateau_score: The score that later ones have to exceed by `plateau_delta`.
        evaluations_without_growth: Evaluations since a score last did.
    """

    round: int = 0
    gossip_step: int = 1
    published: bool = False
    model_job: int | None = None
    elapsed_s: float = 0.0
    best_score: float | None = None
    plateau_score: float | None = None
    evaluations_without_growth: int = 0

    def judge(self, evaluation: Evaluation, *, plateau_delta: float) -> bool:
        """Take note of an evaluation; return whether its model is the best so far."""
        score = evaluation.score
        # A diverged model scores NaN or infinity: that is never growth, and never the best.
        is_number = math.isfinite(score)
        # Growth is measured from where the plateau began: many small steps are growth, too.
        if is_number and (self.plateau_score is None or score > self.plateau_score + plateau_delta):
            self.plateau_score = float(score)
            self.evaluations_without_growth = 0
        else:
            self.evaluations_without_growth += 1
        if is_number and (self.best_score is None or score > self.best_score):
            self.best_score = float(score)
            return True
        return False

    def close_round(self) -> None:
        """Go on to the next round."""
        self.round += 1
        self.gossip_step = 1
        self.published = False

    def close_gossip_step(self) -> None:
        """Go on to the next gossip step of the round."""
        self.gossip_step += 1
        self.published = False
