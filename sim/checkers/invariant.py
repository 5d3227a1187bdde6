"""The error that every checker raises."""

from typing import NoReturn

from p2pfed.errors import P2PFedError


class InvariantError(P2PFedError):
    """Something happened in a world that must never happen.

    Args:
        checker: Name of the class that found it.
        detail: What it found, with the numbers.
    """

    def __init__(self, checker: str, detail: str) -> None:
        super().__init__(f"{checker}: {detail}")
        self.checker = checker
        self.detail = detail


def fail(checker: object, detail: str) -> NoReturn:
    """Raise what a checker found.

    Raises:
        InvariantError: Always.
    """
    raise InvariantError(type(checker).__name__, detail)
