"""Peers of different speeds that pull a number to targets of their own, and mix it.

Time, training and links are as simple as can be; what real peers do is asked of their parts: when
to integrate of `Pacing`, intervals of `Participation`, and mixing weights as the workbench does.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import cast

from p2pfed.core.config import (
    IntegrationMoment,
    NeighborAddress,
    ParticipationConfig,
    ScheduleConfig,
)
from p2pfed.core.neighbors import Link, Neighbors
from p2pfed.core.pacing import Pacing
from p2pfed.core.participation import Participation
from p2pfed.core.plan import Plan
from p2pfed.core.rows import Rows
from p2pfed.identity import PeerId
from p2pfed.learn.mixing import Claim, row_weights
from p2pfed.limits import Limits
from tests.core.peers import make_config


@dataclass(kw_only=True)
class Setting:
    """Who takes part, and how.

    Attributes:
        targets: Where each peer's own loss is least.
        train_s: How long each peer trains for one round.
        learned: The way to its target that a peer goes in its next round, from 0 to 1.
        is_up: Whether a peer takes part in a round that it could begin; if not, it skips it.
        integrate: When.
        window_s: Length of a window.
        arrivals: How many are waited for.
        keeps_rows: Whether rows stay in use until the next ones come.
        participation: How rows of rare neighbors count.
        jitter: By which training takes more or less.
    """

    targets: list[float]
    train_s: list[float]
    learned: Callable[[int], float] = lambda peer: 0.05  # noqa: ARG005 - alike for all
    is_up: Callable[[int], bool] = lambda peer: True  # noqa: ARG005 - always
    integrate: IntegrationMoment = IntegrationMoment.AFTER_TRAINING
    window_s: float = 1.0
    arrivals: int = 1
    keeps_rows: bool = False
    participation: ParticipationConfig | None = None
    jitter: float = 0.1


class News(set[PeerId]):
    """Whose rows are new; all that `Pacing` asks of an asynchronous peer's `Rows`."""

    def news(self) -> list[PeerId]:
        """Return them."""
        return sorted(self)


@dataclass(kw_only=True)
class Peer:
    """One of them: its number now and after each integration, others' rows, and which are new."""

    value: float
    participation: Participation
    pacing: Pacing
    history: list[float] = field(default_factory=list)
    rows: dict[PeerId, float] = field(default_factory=dict)
    news: News
    waits: bool = False


class Quadratics:
    """A run. Everybody is everybody's neighbor."""

    def __init__(self, setting: Setting, *, seed: int = 0) -> None:
        self.setting = setting
        self.now_s = 0.0
        self._random = random.Random(seed)
        count = len(setting.targets)
        self.names = [PeerId(bytes([number]) * 32) for number in range(count)]
        self.peers = [self._make(number) for number in range(count)]
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        for number in range(count):
            self._begin(number)

    def run(self, until_s: float) -> list[list[float]]:
        """Return what each peer went on with after its integrations of the latter half."""
        while self._agenda[0][0] < until_s:
            self.now_s, _, action = heapq.heappop(self._agenda)
            action()
        return [peer.history[len(peer.history) // 2 :] for peer in self.peers]

    def importances(self, receiver: int) -> list[float]:
        """Return the importances that one peer gives to all others."""
        others = [name for name in self.names if name != self.names[receiver]]
        return self.peers[receiver].participation.importances(others)

    def _make(self, number: int) -> Peer:
        setting = self.setting
        schedule = ScheduleConfig(
            integrate=setting.integrate,
            window_s=setting.window_s,
            arrivals=setting.arrivals,
            deadline_s=1e9,  # everybody comes back
        )
        config = make_config(schedule=schedule, participation=setting.participation)
        others = [name for name in self.names if name != self.names[number]]
        edges = tuple(NeighborAddress(peer=name, addresses=()) for name in others)
        neighbors = Neighbors(edges, Limits())
        for entry in neighbors.all():
            entry.link = Link.GREETED
        news = News()
        return Peer(
            value=0.0,
            participation=Participation(config, neighbors, {}),
            pacing=Pacing(config, Plan(config), cast("Rows", news), neighbors),
            news=news,
        )

    def _at(self, time_s: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._agenda, (time_s, self._sequence, action))

    def _begin(self, number: int) -> None:
        jitter = 1.0 + self.setting.jitter * (2.0 * self._random.random() - 1.0)
        duration_s = self.setting.train_s[number] * jitter
        is_up = self.setting.is_up(number)
        action = self._trained if is_up else self._begin
        self._at(self.now_s + duration_s, lambda: action(number))

    def _trained(self, number: int) -> None:
        peer, setting = self.peers[number], self.setting
        peer.value += setting.learned(number) * (setting.targets[number] - peer.value)
        peer.waits = True
        for other, receiver in enumerate(self.peers):
            if other != number:
                receiver.rows[self.names[number]] = peer.value
                receiver.news.add(self.names[number])
                self._consider(other)
        self._consider(number)
        wait_s = peer.pacing.wait_s(self.now_s)
        if peer.waits and wait_s is not None:
            self._at(self.now_s + wait_s, lambda: self._integrate(number))

    def _consider(self, number: int) -> None:
        peer = self.peers[number]
        if peer.waits and peer.pacing.is_complete(len(peer.history), self.now_s):
            self._integrate(number)

    def _integrate(self, number: int) -> None:
        peer = self.peers[number]
        peer.waits = False
        present = sorted(peer.rows if self.setting.keeps_rows and peer.news else peer.news)
        claim = Claim(examples=1, degree=len(self.peers) - 1)
        importances = peer.participation.importances(present)
        weights = row_weights("metropolis", claim, [claim] * len(present), importances)
        before = peer.value
        for name, weight in zip(present, weights, strict=True):
            peer.value += weight * (peer.rows[name] - before)
        peer.participation.observe(present)
        peer.history.append(peer.value)
        peer.news.clear()
        self._begin(number)


def mean(seen: list[list[float]]) -> float:
    """Return where the peers are, on the average over peers and time."""
    return fmean(fmean(values) for values in seen)


def jitter(seen: list[list[float]]) -> float:
    """Return how much single peers move to and fro."""
    return fmean(pstdev(values) for values in seen)
