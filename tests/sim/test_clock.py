"""The agenda of a world."""

from sim.clock import Clock


def test_what_is_canceled_does_not_pile_up() -> None:
    clock = Clock()
    for number in range(10_000):
        clock.at(1_000_000 + number, lambda: None).cancel()
    assert len(clock) < 2_048


def test_what_is_not_canceled_happens_in_order() -> None:
    clock, done = Clock(), list[int]()
    for number in range(4_000):
        entry = clock.at(number // 3, lambda number=number: done.append(number))  # type: ignore[misc]
        if number % 4 != 0:
            entry.cancel()
            entry.cancel()
    while clock.step():
        pass
    assert done == list(range(0, 4_000, 4))
