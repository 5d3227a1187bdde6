"""When a peer that has published its update integrates, and how long it waits for that at most."""

from typing import final

from p2pfed.core.config import CoreConfig, IntegrationMoment
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.plan import Plan
from p2pfed.core.rows import Rows
from p2pfed.identity import PeerId


@final
class Pacing:
    """Says whether a round may go on, and when it goes on with whatever is there.

    Args:
        config: What this peer was told.
        plan: What it says about rounds.
        rows: What has come.
        neighbors: Who may still send something.
    """

    def __init__(self, config: CoreConfig, plan: Plan, rows: Rows, neighbors: Neighbors) -> None:
        self._config = config.schedule
        self._plan = plan
        self._rows = rows
        self._neighbors = neighbors
        self._begun_s = 0.0  # from when on windows are counted
        # Neighbors that had nothing new at a deadline: not waited for until they have.
        self._late: dict[PeerId, None] = {}

    def begin(self, now_s: float) -> None:
        """Count windows from now on."""
        self._begun_s = now_s

    def is_complete(self, exchange: int, now_s: float) -> bool:
        """Return whether everything is there that is worth waiting for."""
        if self._plan.is_synchronous:
            return self._rows.is_complete(exchange, now_s) and not self._would_run_ahead(exchange)
        if self._plan.is_relay:
            return self._rows.all_have_news()  # there is nothing to do until then
        match self._config.integrate:
            case IntegrationMoment.AFTER_TRAINING:
                return True
            case IntegrationMoment.WINDOW:
                return False
            case IntegrationMoment.ARRIVALS:
                news = self._news()
                return len(news) >= self._config.arrivals or not self._awaited(news)

    def wait_s(self, now_s: float) -> float | None:
        """Return in how many seconds a round goes on anyway; None if a relay has to wait."""
        if self._plan.is_synchronous:
            return self._config.deadline_s
        if self._plan.is_relay:
            return None
        if self._config.integrate is IntegrationMoment.WINDOW:
            # To the end of the window that runs, so that windows stay equally long whatever jobs
            # take: who is late for one is in time for the next.
            return self._config.window_s - (now_s - self._begun_s) % self._config.window_s
        return self._config.deadline_s

    def excuse(self, exchange: int, now_s: float) -> None:
        """Wait no longer for neighbors that have let a deadline pass."""
        if self._plan.is_synchronous:
            self._rows.excuse(self._rows.missing(exchange, now_s))
        elif self._config.integrate is IntegrationMoment.ARRIVALS:
            late = [*self._late, *self._awaited(self._news())]
            self._late = {peer: None for peer in late if self._neighbors.get(peer) is not None}

    def _would_run_ahead(self, exchange: int) -> bool:
        """Return whether a synchronous relay has nothing to mix, while others train.

        Nothing else holds it back when all have missed a deadline: it would flood them.
        """
        return (
            self._plan.is_relay
            and any(entry.is_active for entry in self._neighbors.greeted())
            and not self._rows.has_row(exchange)
        )

    def _news(self) -> list[PeerId]:
        """Return who has sent something new, and is in step therefore."""
        news = self._rows.news()
        for peer in news:
            self._late.pop(peer, None)
        return news

    def _awaited(self, news: list[PeerId]) -> list[PeerId]:
        """Return who trains, has sent nothing new, and was not late already."""
        return [
            entry.peer
            for entry in self._neighbors.greeted()
            if entry.is_active and entry.peer not in news and entry.peer not in self._late
        ]
