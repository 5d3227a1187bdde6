"""The error that every checker raises."""

from typing import TYPE_CHECKING, NoReturn

from typing_extensions import override

from p2pfed.errors import P2PFedError

if TYPE_CHECKING:
    from sim.result import Result


class InvariantError(P2PFedError):
    """Something happened in a world that must never happen.

    Args:
        checker: Name of the class that found it.
        detail: What it found, with the numbers.

    Attributes:
        result: What `sim.run` had recorded by then; None where no scenario is played.
    """

    def __init__(self, checker: str, detail: str) -> None:
        super().__init__(f"{checker}: {detail}")
        self.checker = checker
        self.detail = detail
        self.result: Result | None = None

    @override
    def __reduce__(self) -> tuple[type["InvariantError"], tuple[str, str]]:
        # Else it is made of its message alone in another process.
        return type(self), (self.checker, self.detail)

    @override
    def __str__(self) -> str:
        text = super().__str__()
        if self.result is None:
            return text
        at_s = self.result.metrics["virtual_s"]
        where = f"scenario {self.result.scenario!r} with seed {self.result.seed}"
        return f"{text} ({where}, at {at_s:.3f} virtual s)"


def fail(checker: object, detail: str) -> NoReturn:
    """Raise what a checker found.

    Raises:
        InvariantError: Always.
    """
    raise InvariantError(type(checker).__name__, detail)
