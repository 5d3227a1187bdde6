"""The liars of a run: who they are, what they know, and what each of them sends to whom."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, final

from torch import Tensor

from p2pfed.learn.randomness import torch_generator
from sim.adversaries.view import View
from sim.rounds.neighborhood import Neighborhood
from sim.rounds.threat import Threat

_HISTORY_ROUNDS: Final = 10  # guess: enough for attacks that look back a few rounds


@final
class Coalition:
    """All liars together: they know every honest row and agree with each other.

    Behind its lies each of them learns like everybody else. It mixes what its neighbors would
    publish by their mixing weights, for it knows whom to believe: see `Meeting.mixing`.

    Args:
        threats: What each liar does, by number. Those of one threat may agree on what they send.
        seed: Of the run.
    """

    def __init__(self, threats: Mapping[int, Threat], *, seed: int) -> None:
        self._threats = dict(threats)
        self._is_common = all(it.is_common or it.attack is None for it in threats.values())
        self._generator = torch_generator(seed, "rounds/coalition")
        # Every peer's row of this round and of some before it.
        self._published: deque[tuple[int, tuple[Tensor, ...]]] = deque(maxlen=_HISTORY_ROUNDS + 1)
        self._history: dict[int, deque[Tensor]] = {}  # by number of the target
        # What goes to all targets in an exchange, by number of the liar.
        self._exchange: Tensor | None = None
        self._common: dict[int, Tensor] = {}

    def rows(
        self,
        place: Neighborhood,
        published: Tensor,
        before: Tensor,
        *,
        round: int,
        rule: Callable[[Tensor], Tensor],
    ) -> dict[int, Tensor]:
        """Return what each lying neighbor of a peer sends to it, by number.

        Args:
            place: The peer's neighborhood.
            published: What every peer publishes or would, shape (n, d); one tensor per exchange.
            before: The same before the local steps of this round.
            round: Number of the round.
            rule: What the peer makes of rows of shape (m, d), its own first.
        """
        if all(self._threats[number].attack is None for number in place.liars):
            return {number: published[number] for number in place.liars}
        if self._exchange is not published:
            self._exchange, self._common = published, {}
        if self._is_common and self._common.keys() >= set(place.liars):  # nobody looks at targets
            return {number: self._common[number] for number in place.liars}
        earlier = self._earlier(published, round)
        view = self._view(place, published, before, earlier, round=round, rule=rule)
        agreed: dict[int, Tensor] = {}  # by threat
        lies = {}
        for number in place.liars:
            threat = self._threats[number]
            if threat.attack is None:
                lies[number] = self._common[number] = published[number]
            elif number in self._common:
                lies[number] = self._common[number]
            elif id(threat) in agreed:
                lies[number] = agreed[id(threat)]
            else:
                own_history = tuple(rows[number] for rows in earlier)
                lie = threat.attack(replace(view, own=published[number], own_history=own_history))
                lies[number] = lie
                if threat.is_common:
                    self._common[number] = lie
                if threat.is_agreed:
                    agreed[id(threat)] = lie
        return lies

    def _view(
        self,
        place: Neighborhood,
        published: Tensor,
        before: Tensor,
        earlier: Sequence[Sequence[Tensor]],
        *,
        round: int,
        rule: Callable[[Tensor], Tensor],
    ) -> View:
        """Return what the first liar at a peer knows, and take note of what the honest publish."""
        chosen = place.honest_rows()
        history = self._history.setdefault(place.peer, deque(maxlen=_HISTORY_ROUNDS))
        view = View(
            honest=published[chosen],
            honest_before=before[chosen],
            own=published[place.liars[0]],
            honest_weights=place.honest_weights(),
            byzantine_weight=place.byzantine_weight(),
            byzantine_count=len(place.liars),
            round=round,
            history=tuple(history),
            own_history=tuple(rows[place.liars[0]] for rows in earlier),
            honest_history=tuple(tuple(rows[number] for number in chosen) for rows in earlier),
            rule=rule,
            generator=self._generator,
        )
        history.append(view.honest.mean(dim=0))
        return view

    def _earlier(self, published: Tensor, round: int) -> list[tuple[Tensor, ...]]:
        """Take note of what all publish in a round, and return that of the rounds before it."""
        if not self._published or self._published[-1][0] != round:
            self._published.append((round, published.unbind()))
        return [rows for number, rows in self._published if number < round]
