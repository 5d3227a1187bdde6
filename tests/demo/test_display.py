"""What a demonstration says while it runs, where nothing can be drawn live."""

from typing import Any

import pytest

from p2pfed.cli.demo_display import DemoDisplay
from p2pfed.cli.output import Output
from p2pfed.demo.running import Progress


def running(*rounds: int, bound: int | None) -> Progress:
    statuses: list[dict[str, Any]] = [{"round": it, "rounds_max": bound} for it in rounds]
    peers = tuple((index, False, True, status) for index, status in enumerate(statuses))
    return Progress(stage="together", peers=peers)


def said(capsys: pytest.CaptureFixture[str], *steps: Progress) -> list[str]:
    with DemoDisplay(Output(as_json=True)) as display:
        for step in steps:
            display.take(step)
    return capsys.readouterr().err.splitlines()


def test_progress_says_of_how_many_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, running(0, 1, bound=14), running(1, 3, bound=14))
    assert lines[1:] == [
        "  every peer has finished 0 of 14 rounds",
        "  every peer has finished 1 of 14 rounds",
    ]


def test_one_round_without_a_bound_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, running(1, 1, bound=None))[-1] == "  every peer has finished 1 round"


@pytest.mark.parametrize("stage", ["together", "alone"])
def test_a_silence_is_announced(capsys: pytest.CaptureFixture[str], stage: str) -> None:
    (line,) = said(capsys, Progress(stage=stage))
    assert "no news" in line
