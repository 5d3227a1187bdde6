"""A part of a world that is simulated in another process."""

import multiprocessing
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, cast, final

from torch import Tensor

from p2pfed.errors import LocalError
from sim.checkers.invariant import InvariantError
from sim.collecting import collecting_seldom
from sim.network import Parcel
from sim.outcomes import Ended
from sim.parts.here import PartHere
from sim.parts.lockstep import Stepped
from sim.parts.parcels import portable_error
from sim.parts.staging import part_here
from sim.scenario import load_scenario

_QUESTIONS: Final = ("step", "check", "ended", "link_bytes", "vector_sum", "square_sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """Why another process could not do what it was asked for.

    Attributes:
        error: What to raise here.
    """

    error: Exception


@final
class PartElsewhere:
    """Starts a process that simulates a part, and asks it.

    Args:
        document: The scenario; see `sim.documents`.
        seed: Of everything random.
        part_of: Which part each peer is in, by number.
        number: Of the part.
    """

    def __init__(
        self, document: Mapping[str, Any], seed: int, part_of: Sequence[int], number: int
    ) -> None:
        # A forked copy of a process that has used torch may hang.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, dict(document), seed, list(part_of), number), daemon=True
        )
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            ConfigError: If it cannot use the scenario.
            LocalError: If the process ended.
        """
        self._answer()

    def begin(self, end_ns: int, parcels: Sequence[Parcel], kinds: Sequence[int]) -> None:
        """Begin a step; see `Part`."""
        self._ask("step", end_ns, list(parcels), list(kinds))

    def end(self) -> Stepped:
        """Wait for the end of the step.

        Raises:
            InvariantError: If a checker found something wrong.
            LocalError: If the process ended.
        """
        return cast(Stepped, self._answer())

    def check(self) -> None:
        """Let the checkers look; see `Part`."""
        self._ask("check")
        self._answer()

    def ended(self) -> Ended:
        """Return how its peers stand."""
        self._ask("ended")
        return cast(Ended, self._answer())

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        """Return what its peers sent; see `Part`."""
        self._ask("link_bytes")
        return cast(list[tuple[tuple[int, int], int]], self._answer())

    def vector_sum(self, numbers: Collection[int]) -> tuple[Tensor | None, int]:
        """Return the sum of its peers' vectors; see `Part`."""
        self._ask("vector_sum", numbers)
        return cast(tuple[Tensor | None, int], self._answer())

    def square_sum(self, numbers: Collection[int], mean: Tensor) -> float:
        """Return how far its peers' vectors are from a mean; see `Part`."""
        self._ask("square_sum", numbers, mean)
        return cast(float, self._answer())

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _ask(self, question: str, *given: object) -> None:
        try:
            self._connection.send((question, given))
        except OSError as error:
            raise self._gone() from error

    def _answer(self) -> object:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(answer, _Broken):
            raise answer.error
        return answer

    def _gone(self) -> LocalError:
        self._process.join()
        return LocalError(
            f"a process of the simulation ended with code {self._process.exitcode}, of memory "
            "perhaps: write compute.processes = 1; in a script of your own, begin simulations "
            'under if __name__ == "__main__"'
        )


def _serve(
    connection: Connection,
    document: Mapping[str, Any],
    seed: int,
    part_of: Sequence[int],
    number: int,
) -> None:
    """Answer until nobody asks any more."""
    # Ctrl-C reaches every process of a terminal. The one that was started decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with collecting_seldom():
            part = part_here(load_scenario(document), seed, part_of, number)
            connection.send(None)
            while True:
                question, given = connection.recv()
                assert question in _QUESTIONS
                _answer_with(connection, part, question, given)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody asks any more
    except Exception as error:  # the edge to users' code: what it raises is raised where it began
        with suppress(OSError):
            connection.send(_Broken(error=portable_error(error)))


def _answer_with(
    connection: Connection, part: PartHere, question: str, given: Sequence[Any]
) -> None:
    try:
        if question == "step":
            part.begin(*given)
            answer: object = part.end()
        else:
            answer = getattr(part, question)(*given)
    except InvariantError as error:  # how all stand may be asked for after that
        answer = _Broken(error=error)
    connection.send(answer)
