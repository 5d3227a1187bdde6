"""Batches that are drawn for all peers at once are those that each draws alone."""

import pytest
import torch

from p2pfed.learn.draws import draw_batches
from sim.rounds import drawing
from sim.rounds.drawing import BatchDraws, _is_as_torch


def drawn_alone(count: int, names: list[str], steps: int, size: int, round: int) -> torch.Tensor:
    return torch.stack(
        [
            torch.stack(
                draw_batches(
                    step_count=steps,
                    batch_size=size,
                    row_count=count,
                    seed=9,
                    peer=name,
                    round=round,
                )
            )
            for name in names
        ],
        dim=1,
    )


# Row counts and batches of one round: parts of a shuffle, several, words of one and more states.
@pytest.mark.parametrize(
    ("count", "steps", "size"),
    [(32, 1, 32), (1, 2, 5), (2, 3, 4), (50, 2, 8), (30, 2, 64), (300, 1, 300), (700, 3, 300)],
)
def test_draws_are_those_of_each_peer(count: int, steps: int, size: int) -> None:
    names = [f"peer {number}" for number in range(40)]
    draws = BatchDraws(names, [count] * 40, step_count=steps, batch_size=size, seed=9)
    for round in (0, 3):
        found = draws.draw(round)
        assert torch.equal(found, drawn_alone(count, names, steps, size, round))


def test_few_peers_of_a_kind_draw_alone_to_the_same_end() -> None:
    names = [f"peer {number}" for number in range(43)]
    draws = BatchDraws(names, [20] * 40 + [7, 8, 9], step_count=2, batch_size=8, seed=9)
    found = draws.draw(1)
    for number, count in ((0, 20), (39, 20), (40, 7), (42, 9)):
        alone = drawn_alone(count, [names[number]], 2, 8, 1)
        assert torch.equal(found[:, number], alone[:, 0])


def test_this_torch_is_known() -> None:
    assert _is_as_torch()


def test_a_torch_that_shuffles_otherwise_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_is_as_torch", lambda: False)
    names = [f"peer {number}" for number in range(40)]
    draws = BatchDraws(names, [12] * 40, step_count=1, batch_size=8, seed=9)
    assert torch.equal(draws.draw(0), drawn_alone(12, names, 1, 8, 0))
