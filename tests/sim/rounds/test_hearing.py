"""Liars turn to peers in one order, whoever asks."""

from typing import Any

from sim.rounds.hearing import Hearings
from sim.rounds.neighborhood import Neighborhood


def make_place(peer: int, *liars: int) -> Neighborhood:
    return Neighborhood(peer=peer, honest=(), liars=liars, weights=dict.fromkeys(liars, 0.1))


def test_liars_speak_in_the_order_of_the_peers() -> None:
    asked = []

    def make(place: Neighborhood) -> Any:
        asked.append(place.peer)
        return f"to {place.peer}"

    places = [make_place(1, 7), make_place(2), make_place(3, 8), make_place(4, 7, 8)]
    hearings = Hearings(places, make)
    assert asked == []
    order = [places[2], places[1], places[0], places[3]]
    assert [hearings.take(place) for place in order] == ["to 3", "to 2", "to 1", "to 4"]
    assert asked == [1, 3, 2, 4]  # peer 2 has no liars
