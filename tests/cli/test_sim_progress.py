"""How far a simulation is, where nobody looks at a terminal."""

import io

from rich.console import Console

from p2pfed.cli.sim_progress import rounds_lines


def test_a_line_a_minute_says_how_many_rounds_are_over():
    now_s = 100.0
    out = io.StringIO()
    tell = rounds_lines(Console(file=out), lambda: now_s)
    for now_s, *told in (  # noqa: B007 - the clock reads it
        (101.0, 1, 40, 3.0),
        (161.0, 2, 40, 7.4),
        (162.0, 3, 40, 9.0),
        (230.0, 4, None, 11.0),
        (300.0, 5, 40, None),
    ):
        tell(*told)
    assert out.getvalue().splitlines() == [
        "2 of 40 rounds, 7 virtual s",
        "4 rounds, 11 virtual s",
        "5 of 40 rounds",
    ]
