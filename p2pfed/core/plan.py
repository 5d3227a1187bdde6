"""What the configuration says about the rounds of a peer; remembers nothing."""

from typing import final

from p2pfed.core.config import CoreConfig, ScheduleMode
from p2pfed.core.held import exchange_of
from p2pfed.core.notices import StopReason
from p2pfed.core.progress import Progress
from p2pfed.messages import Role


@final
class Plan:
    """Answers questions about rounds.

    Args:
        config: What this peer was told.

    Attributes:
        config: The same.
        is_synchronous: Whether rounds are taken together with the neighbors.
        is_relay: Whether this peer has no data: it mixes and passes on, without steps and scores.
        follows_others: Whether a round begins when others have sent something, not when the last
            one ends.
        ends_with_others: Whether this peer stops when nobody around it trains any more.
        evaluates: Whether the own model is ever evaluated.
    """

    def __init__(self, config: CoreConfig) -> None:
        schedule = config.schedule
        self.config = config
        self.is_synchronous = schedule.mode is ScheduleMode.SYNCHRONOUS
        self.is_relay = config.role is Role.RELAY
        self.follows_others = self.is_relay and not self.is_synchronous
        self.ends_with_others = self.is_relay and (
            self.follows_others or schedule.rounds_max is None
        )
        self.evaluates = schedule.evaluate_every_rounds > 0 and not self.is_relay

    def exchange(self, progress: Progress) -> int:
        """Return the place of the current gossip step among all steps of all rounds, from 0."""
        return exchange_of(progress.round, progress.gossip_step, self.config.schedule.gossip_steps)

    def is_last_step(self, progress: Progress) -> bool:
        """Return whether the current gossip step ends its round."""
        return progress.gossip_step >= self.config.schedule.gossip_steps

    def is_tested(self, round_number: int) -> bool:
        """Return whether a round ends with an evaluation on test data."""
        every_rounds = self.config.schedule.test_every_rounds
        return self.evaluates and (
            self._is_last(round_number) or is_due(round_number, every_rounds)
        )

    def is_evaluated(self, round_number: int) -> bool:
        """Return whether a round ends with an evaluation on validation data."""
        every_rounds = self.config.schedule.evaluate_every_rounds
        return self.is_tested(round_number) or (
            self.evaluates and is_due(round_number, every_rounds)
        )

    def stop_reason(self, progress: Progress) -> StopReason | None:
        """Return why training is over between two rounds, or None when it goes on."""
        schedule = self.config.schedule
        rounds_max = self._rounds_max()
        if rounds_max is not None and progress.round >= rounds_max:
            return StopReason.ROUNDS
        if schedule.time_s_max is not None and progress.elapsed_s >= schedule.time_s_max:
            return StopReason.TIME
        patience = schedule.plateau_evaluations
        if patience is not None and progress.evaluations_without_growth >= patience:
            return StopReason.PLATEAU
        return None

    def _is_last(self, round_number: int) -> bool:
        return round_number + 1 == self._rounds_max()

    def _rounds_max(self) -> int | None:
        return None if self.follows_others else self.config.schedule.rounds_max


def is_due(round_number: int, every_rounds: int) -> bool:
    """Return whether a round ends one of so many; with 0 none does."""
    return every_rounds > 0 and (round_number + 1) % every_rounds == 0
