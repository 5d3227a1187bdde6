"""What people see of a demonstration."""

from types import TracebackType
from typing import Any, Final, final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from p2pfed.cli.output import Output, size_of
from p2pfed.demo.options import DemoResult
from p2pfed.demo.running import Progress

_STAGES: Final = {
    "fetch": "getting data and weights",
    "together": "the peers learn together; until all have loaded the model there is no news",
    "alone": "each peer's training is repeated alone, to compare; no news for some minutes",
    "finish": "adding up",
}


@final
class DemoDisplay:
    """Shows the progress of a demonstration; a context manager around it.

    Args:
        output: Where to.
    """

    def __init__(self, output: Output) -> None:
        self._people = output.people
        self._live: Live | None = None
        self._shows_live = not output.as_json and self._people.is_terminal
        self._stage = ""
        self._round = -1

    def __enter__(self) -> "DemoDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def take(self, progress: Progress) -> None:
        """Show where the demonstration is."""
        if progress.stage != self._stage:
            self._stop()
            self._stage = progress.stage
            self._people.print(_STAGES.get(progress.stage, progress.stage))
        if not progress.peers:
            return
        if self._shows_live:
            if self._live is None:
                self._live = Live(console=self._people)
                self._live.start()
            self._live.update(_table(progress))
        else:
            self._print_round(progress)

    def _print_round(self, progress: Progress) -> None:
        rounds = [status["round"] for _, _, _, status in progress.peers if status]
        slowest = min(rounds, default=0)
        if len(rounds) == len(progress.peers) and slowest > self._round:
            self._round = slowest
            self._people.print(f"  every peer has finished {_rounds(slowest, progress)}")

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _rounds(finished: int, progress: Progress) -> str:
    bounds = {status["rounds_max"] for _, _, _, status in progress.peers}
    if len(bounds) == 1 and (bound := bounds.pop()) is not None:
        return f"{finished} of {bound} rounds"
    return f"{finished} round{'' if finished == 1 else 's'}"


def _table(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("peer", "round", "doing", "loss", "accuracy", "neighbors", "bytes out"):
        table.add_column(heading)
    for index, hostile, runs, status in progress.peers:
        name = f"{index}, hostile" if hostile else str(index)
        if not status:
            table.add_row(name, "-", "starting" if runs else "ended")
            continue
        accuracy = status["test_score"] if status["test_score"] is not None else status["score"]
        table.add_row(
            name,
            f"{status['round']} of {status['rounds_max']}",
            status["phase"] if runs else "ended",
            _number(status["loss"]),
            _number(accuracy),
            str(len(status["neighbors"])),
            size_of(status["bytes_sent"]),
            style="red" if hostile else None,
        )
    return table


def show_result(console: Console, result: DemoResult) -> None:
    """Print what a demonstration found."""
    table = Table(title=f"accuracy on test data, {result.options.task}")
    for heading in ("peer", "examples", "alone", "together", "bytes out", "weight of the hostile"):
        table.add_column(heading, justify="right")
    for peer in result.peers:
        table.add_row(
            f"{peer.index}, hostile" if peer.hostile else str(peer.index),
            "-" if peer.hostile else str(peer.examples),
            _number(peer.alone_accuracy),
            "-" if peer.hostile else _number(peer.accuracy),
            size_of(peer.bytes_sent),
            "-" if peer.hostile else _number(peer.hostile_weight),
            style="red" if peer.hostile else None,
        )
    found = result.to_json_object()
    table.add_section()
    table.add_row(
        "mean of the honest",
        "",
        _number(found["alone_mean_accuracy"]),
        _number(found["mean_accuracy"]),
        size_of(int(found["bytes_sent_per_peer"] or 0)),
        _number(found["hostile_weight_mass"]),
    )
    console.print(table)
    console.print(f"always naming the most common class: {result.majority_accuracy:.3f}")
    console.print(f"picture: {result.plot_path}")
    console.print(f"trained model: {result.adapter_path}")
    console.print(result.sentence(), style="bold")


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
