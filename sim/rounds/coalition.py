"""The liars of a run: who they are, what they know, and what each of them sends to whom."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, final

from torch import Tensor

from p2pfed.learn.randomness import torch_generator
from sim.adversaries.view import View
from sim.rounds.neighborhood import Neighborhood, mixing_rows
from sim.rounds.threat import Threat

_HISTORY_ROUNDS: Final = 10  # guess: enough for attacks that look back a few rounds


@final
class Coalition:
    """All liars together: they know every honest row and agree with each other.

    Behind its lies each of them learns like everybody else. It mixes what its neighbors would
    publish by their mixing weights, for it knows whom to believe.

    Args:
        places: Every peer's neighborhood, by number.
        liars: Who lies, ascending.
        threat: What they do.
        seed: Of the run.
    """

    def __init__(
        self,
        places: Sequence[Neighborhood],
        liars: Sequence[int],
        threat: Threat,
        *,
        seed: int,
    ) -> None:
        self.liars = list(liars)
        self._threat = threat
        self._generator = torch_generator(seed, "rounds/coalition")
        self._mixing = mixing_rows([places[number] for number in self.liars], len(places))
        self._weights = {place.peer: place.honest_weights() for place in places}
        # Of this round and some before it, (n, d) each.
        self._published: deque[tuple[int, Tensor]] = deque(maxlen=_HISTORY_ROUNDS + 1)
        self._history: dict[int, deque[Tensor]] = {
            place.peer: deque(maxlen=_HISTORY_ROUNDS) for place in places
        }

    def mix(self, published: Tensor) -> Tensor:
        """Return the liars' own next drifts, shape (k, d), from what all would publish, (n, d)."""
        mixed: Tensor = self._mixing @ published
        return mixed

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
            published: What every peer publishes or would, shape (n, d).
            before: The same before the local steps of this round.
            round: Number of the round.
            rule: What the peer makes of rows of shape (m, d), its own first.
        """
        if not place.liars:
            return {}
        attack = self._threat.attack
        if attack is None:
            return {number: published[number] for number in place.liars}
        chosen = place.honest_rows()
        earlier = self._earlier(published, round)
        view = View(
            honest=published[chosen],
            honest_before=before[chosen],
            own=published[place.liars[0]],
            honest_weights=self._weights[place.peer],
            byzantine_weight=place.byzantine_weight(),
            byzantine_count=len(place.liars),
            round=round,
            history=tuple(self._history[place.peer]),
            own_history=tuple(rows[place.liars[0]] for rows in earlier),
            honest_history=tuple(tuple(rows[number] for number in chosen) for rows in earlier),
            rule=rule,
            generator=self._generator,
        )
        self._history[place.peer].append(view.honest.mean(dim=0))
        if self._threat.is_agreed:
            return dict.fromkeys(place.liars, attack(view))
        return {
            number: attack(
                replace(
                    view,
                    own=published[number],
                    own_history=tuple(rows[number] for rows in earlier),
                )
            )
            for number in place.liars
        }

    def _earlier(self, published: Tensor, round: int) -> list[Tensor]:
        """Take note of what all publish in a round, and return that of the rounds before it."""
        if not self._published or self._published[-1][0] != round:
            self._published.append((round, published))
        return [rows for number, rows in self._published if number < round]
