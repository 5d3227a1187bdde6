"""Rules that are functions of one's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any, Final, final, get_type_hints

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import InfeasibleError, InputError, OwnRuleError, RuleError
from robust.inputs import Inputs
from robust.own_code import failure_of
from robust.parameters import read_numbers, shown
from robust.rule import Aggregation, Rule
from robust.tolerance import check_byzantine_count

# What is noted of a function that returns a vector alone: nobody knows what rows counted for.
WEIGHTS_UNKNOWN: Final = "the rule returns no weights, so that those of rows are not known"

_GIVEN: Final = ("own", "byzantine_count")  # what a function gets if it has a parameter for it
_CHECKED: Final = (bool, float, int, str)  # annotations that values are held against
_SUM_SLACK: Final = 1e-6  # rounding of float32 weights over some thousand rows


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionRule(Rule):
    """A function of one's own as a rule; `robust.register` gives it a name.

    Args:
        name: What errors call it.
        combine: The function; `robust.register` says what it takes and returns.
        byzantine_count: Handed to the function, if it asks for it.
        params: Its further parameters.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0; when called, if the function
            returns something else than it should.

    Source: none; what it survives is up to the function.
    Cost: That of the function, and a copy of the rows, so that it cannot change its caller's.
    """

    name: str
    combine: Callable[..., object]
    byzantine_count: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """One: the function says by an `InfeasibleError` when it needs more."""
        return 1

    @property
    @override
    def _said_name(self) -> str:
        """The one that it was registered by."""
        return f"rule {self.name!r}"

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return self._aggregate(inputs).vector

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        rows = inputs.block(slice(0, inputs.dimension))[list(inputs.order)]  # a copy
        returned = self._returned(rows, self._arguments(inputs, rows))
        vector, weights = returned if isinstance(returned, tuple) else (returned, None)
        combined = self._checked_vector(vector, rows).to(inputs.vectors.dtype)
        shares = inputs.by_row(self._checked_weights(weights, len(rows)))
        note = WEIGHTS_UNKNOWN if weights is None else ""
        return Aggregation.of_rows(combined, inputs, shares, note=note)

    def _returned(self, rows: Tensor, arguments: dict[str, Any]) -> object:
        try:
            return self.combine(rows, **arguments)
        except (RuleError, InfeasibleError):  # the latter keeps the own vector
            raise
        except Exception as error:  # the edge to the user's own code, which may fail in any way
            raise OwnRuleError(self.name, f"failed, mend {failure_of(error)}") from error

    def _arguments(self, inputs: Inputs, rows: Tensor) -> dict[str, Any]:
        asked = inspect.signature(self.combine).parameters
        given = dict(self.params)
        if "own" in asked:
            given["own"] = inputs.required_own().to(rows.dtype, copy=True)
        if "byzantine_count" in asked:
            given["byzantine_count"] = self.byzantine_count
        return given

    def _checked_vector(self, vector: object, rows: Tensor) -> Tensor:
        wanted = (rows.shape[1],)
        if not isinstance(vector, Tensor) or not vector.is_floating_point():
            kind = f"tensor of {vector.dtype}" if isinstance(vector, Tensor) else shown(vector)
            fix = "or a tuple of one and the weights of the rows"
            wish = f"let it return a floating-point tensor of shape {wanted}, {fix}"
            raise OwnRuleError(self.name, f"returned {kind}: {wish}")
        if tuple(vector.shape) != wanted:
            fix = f"let it return {wanted}, one value per column of its rows"
            raise OwnRuleError(self.name, f"returned shape {tuple(vector.shape)}: {fix}")
        if not bool(torch.isfinite(vector).all()):  # rows near the end of the range may lead to it
            raise InfeasibleError(
                f"rule {self.name!r} returned NaN or infinity; keep the own vector"
            )
        return vector

    def _checked_weights(self, weights: object, count: int) -> list[float]:
        if weights is None:
            return [1.0 / count] * count
        try:
            numbers = read_numbers(weights, "returned weights")
        except InputError as error:
            raise OwnRuleError(self.name, str(error)) from error
        fits = len(numbers) == count and all(number >= 0.0 for number in numbers)
        if not fits or not sum(numbers) <= 1.0 + _SUM_SLACK:
            fix = f"let it return {count}, one per row, none below 0, that sum to at most 1"
            raise OwnRuleError(self.name, f"returned weights {shown(numbers)}: {fix}")
        return numbers


@final
class FunctionRuleMaker:
    """Makes the rule of a function, with the parameters that the function has.

    Args:
        name: The rule's.
        combine: The function.

    Raises:
        RuleError: If it cannot be called with rows and parameters by name.
    """

    def __init__(self, name: str, combine: Callable[..., object]) -> None:
        given: object = combine
        if not callable(given) or isinstance(given, type):
            fix = "give a function of the rows, shape (n, d), that returns a vector, shape (d,)"
            raise RuleError(f"rule {shown(name)}: {shown(combine)} is no function; {fix}")
        self.name = name
        self.combine = combine
        found = list(inspect.signature(combine).parameters.values())
        by_name = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        takes_rows = found and found[0].kind is Parameter.POSITIONAL_OR_KEYWORD
        if not takes_rows or any(it.kind not in by_name for it in found):
            fix = "let it take the rows first, and then parameters by name: (vectors, own, share)"
            raise RuleError(f"rule {shown(name)}: {shown(combine)} cannot be called; {fix}")
        count = Parameter("byzantine_count", Parameter.KEYWORD_ONLY, default=0, annotation=int)
        params = [it for it in found[1:] if it.name not in _GIVEN]
        # What `robust.create` checks parameters against.
        self.__signature__ = Signature(
            [count, *(it.replace(kind=Parameter.KEYWORD_ONLY) for it in params)]
        )
        self.__annotations__ = {"byzantine_count": int, **_hints(combine, params)}

    def __call__(self, *, byzantine_count: int = 0, **params: Any) -> FunctionRule:
        """Make the rule; `params` are the function's own."""
        return FunctionRule(
            name=self.name, combine=self.combine, byzantine_count=byzantine_count, params=params
        )

    def is_newer_of(self, combine: Callable[..., object]) -> bool:
        """Tell whether a function is this one, or the same one defined again."""
        mine = getattr(self.combine, "__module__", None), getattr(self.combine, "__qualname__", "")
        theirs = getattr(combine, "__module__", None), getattr(combine, "__qualname__", "")
        return combine is self.combine or (mine == theirs and "<lambda>" not in mine[1])


def _hints(combine: Callable[..., object], params: list[Parameter]) -> dict[str, Any]:
    try:
        hints = get_type_hints(combine)
    except (NameError, TypeError):  # annotations that mean something to others alone
        return {}
    return {it.name: hints[it.name] for it in params if hints.get(it.name) in _CHECKED}
