"""What can go wrong in `robust`; all but a `RankError` is the caller's to fix, no peer's fault."""

from typing_extensions import override


class RuleError(ValueError):
    """A rule, a pre-aggregation or one of its parameters is unknown or out of range."""


class OwnRuleError(RuleError):
    """A function of one's own that is a rule failed, or returned what no rule returns.

    Args:
        rule: Its name.
        said: What it did, and how to mend it.
    """

    def __init__(self, rule: str, said: str) -> None:
        super().__init__(f"rule {rule!r} {said}")
        self.rule = rule
        self.said = said

    @override
    def __reduce__(self) -> tuple[type["OwnRuleError"], tuple[str, str]]:
        """Say of what it is made anew in another process, which its message alone is not."""
        return type(self), (self.rule, self.said)


class InputError(ValueError):
    """The vectors handed in have a shape, type or value that no rule reads."""


class RankError(InputError):
    """Ranks, or the bytes of a vote, that are no permutation or no ballot of the size expected.

    Where they came from a peer, it is the peer's fault: the caller says so in its own terms.
    """


class InfeasibleError(ValueError):
    """Too few rows for the number of liars that the rule has to survive.

    Whoever integrates keeps its own vector then; falling back to the mean would hand the model
    to the liars at the very moment at which they are too many.
    """
