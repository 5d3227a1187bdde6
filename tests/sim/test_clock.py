"""The agenda of a world."""

import random

from sim.clock import Clock, Entry


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


def test_equal_times_keep_the_order_of_scheduling() -> None:
    clock, done = Clock(), list[str]()

    def first() -> None:
        done.append("first")
        clock.at(5, lambda: done.append("fourth"))
        clock.at(0, lambda: done.append("fifth"))  # past, so now

    clock.at(7, lambda: done.append("last"))
    clock.at(5, first)
    clock.at(5, lambda: done.append("second"))
    clock.at(5, lambda: done.append("third"))
    while clock.step():
        pass
    assert done == ["first", "second", "third", "fourth", "fifth", "last"]
    assert len(clock) == 0


def test_steps_go_no_further_than_asked() -> None:
    clock, done = Clock(), list[int]()
    for time_ns in (1, 2, 3):
        clock.at(time_ns, lambda time_ns=time_ns: done.append(time_ns))  # type: ignore[misc]
    while clock.step(2):
        pass
    assert (done, clock.now_ns, clock.next_ns()) == ([1, 2], 2, 3)


def test_time_does_not_move_to_what_is_canceled() -> None:
    clock = Clock()
    clock.at(1, lambda: None)
    clock.at(2, lambda: None).cancel()
    while clock.step():
        pass
    assert (clock.now_ns, clock.next_ns(), len(clock)) == (1, None, 0)


def test_what_is_canceled_while_its_time_has_come_does_not_happen() -> None:
    clock, done = Clock(), list[str]()
    clock.at(1, lambda: late.cancel())
    late = clock.at(1, lambda: done.append("late"))
    clock.at(1, lambda: done.append("last"))
    while clock.step():
        pass
    assert done == ["last"]


def test_an_earlier_time_lets_nothing_happen() -> None:
    clock, done = Clock(), list[int]()
    clock.at(10, lambda: done.append(1))
    clock.at(10, lambda: done.append(2))
    clock.step()
    assert not clock.step(5)
    assert (done, clock.now_ns) == ([1], 10)


def test_what_is_canceled_in_its_own_moment_does_not_pile_up() -> None:
    clock, entries = Clock(), list[Entry]()
    clock.at(1, lambda: [entry.cancel() for entry in entries])  # type: ignore[arg-type, return-value]
    entries += [clock.at(1, lambda: None) for _ in range(4_000)]
    clock.step()
    assert len(clock) < 1_024
    assert not clock.step()
    assert len(clock) == 0


def test_any_order_of_scheduling_and_canceling_keeps_that_of_times() -> None:
    generator = random.Random(0)
    clock, done = Clock(), list[int]()
    waiting: dict[int, tuple[int, Entry]] = {}
    expected: list[int] = []
    for number in range(30_000):
        draw = generator.random()
        if draw < 0.55:
            time_ns = clock.now_ns + generator.randrange(3_000)
            entry = clock.at(time_ns, lambda number=number: done.append(number))  # type: ignore[misc]
            waiting[number] = (time_ns, entry)
        elif draw < 0.95 and waiting:
            waiting.pop(generator.choice(list(waiting)[-50:]))[1].cancel()
        elif waiting:
            first = min(waiting, key=lambda number: (waiting[number][0], number))
            expected.append(first)
            waiting.pop(first)
            assert clock.step()
        assert len(waiting) <= len(clock) <= max(2 * len(waiting) + 1_024, 2_048)
    assert done == expected
    assert len(done) > 1_000
