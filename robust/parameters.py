"""Whether what a caller or a run file gives has the type that is asked for; needs no torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import cache, wraps
from numbers import Real
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from robust.errors import InputError, RuleError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RecordT = TypeVar("RecordT", bound="DataclassInstance")

# The widest that is asked for are seeds, of at most 128 bits.
WHOLE_NUMBER_MAX: Final = 2**128 - 1
# Characters of a wrong value that an error repeats.
_SHOWN_MAX: Final = 80

_WORDS: Final[Mapping[object, str]] = {
    NoneType: "None",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
}


def check_parameters(of: Callable[..., object], params: Mapping[str, object]) -> None:
    """Raise RuleError unless each parameter has the type that a class annotates it with.

    Ranges are left to the class. A float may be given as a whole number; NaN is no number, and no
    whole number may be above `WHOLE_NUMBER_MAX` or below its negative.

    Args:
        of: The class; other names than those of its fields are not looked at.
        params: Values by name.
    """
    hints = _hints(of)
    for name, value in params.items():
        if name in hints and not _fits(value, hints[name]):
            raise RuleError(f"{name}={shown(value)} is not {_words(hints[name])}")


def names_checked(kind: type[RecordT]) -> type[RecordT]:
    """Let a dataclass raise RuleError, with what was probably meant, for names that it lacks."""
    init = kind.__init__
    known = sorted(it.name for it in fields(kind) if it.init)

    @wraps(init)
    def checked(self: RecordT, **values: object) -> None:
        for name in values:
            if name not in known:
                hint = meant(name, known)
                fix = f"there is no such constant; there are {', '.join(known)}{hint}"
                raise RuleError(f"{kind.__name__}.{name}={shown(values[name])}: {fix}")
        init(self, **values)

    kind.__init__ = checked  # type: ignore[assignment,method-assign]
    return kind


def check_fields(record: "DataclassInstance") -> None:
    """Raise RuleError unless each field of a dataclass has the type of its annotation.

    As `check_parameters`, but its errors name the class too, for one that few write by itself.
    """
    kind = type(record)
    hints = _hints(kind)
    for name in (field.name for field in fields(record)):
        value = getattr(record, name)
        if not _fits(value, hints[name]):
            fix = f"must be {_words(hints[name])}"
            raise RuleError(f"{kind.__name__}.{name}={shown(value)}: {fix}")


def check_whole_number(value: object, name: str, *, least: int = 0) -> None:
    """Raise RuleError unless a value is a whole number, at least `least`."""
    if not is_whole_number(value) or value < least:
        raise RuleError(f"{name}={shown(value)} is not a whole number >= {least}")


def check_round(value: object) -> None:
    """Raise RuleError unless a value counts own rounds."""
    if not is_whole_number(value) or value < 0:
        raise RuleError(
            f"round_index={shown(value)} is not a whole number >= 0: count the own rounds from 0"
        )


def check_text(value: object, name: str) -> None:
    """Raise RuleError unless a value is text."""
    if not isinstance(value, str):
        raise RuleError(f"{name}={shown(value)} is not text")


def check_real(value: object, name: str) -> None:
    """Raise RuleError unless a value is a number; NaN and infinity may be one here.

    For what is measured of others, who decide on it: any number is read, a wrong type is not
    theirs.
    """
    # A whole number that is too large for a float is no measurement.
    is_fine = is_whole_number(value) if isinstance(value, int) else isinstance(value, Real)
    if not is_fine:
        raise RuleError(f"{name}={shown(value)} is not a number; give float(...) of it")


def check_mapping(value: object, name: str, *, of: str) -> None:
    """Raise RuleError unless a value is a mapping; `of` says what from peers leads to."""
    if not isinstance(value, Mapping):
        raise RuleError(f"{name}={shown(value)} is no mapping from peers to {of}")


def read_numbers(given: object, name: str) -> list[float]:
    """Return numbers that a caller or a function of its own gave, NaN and infinity among them.

    Args:
        given: A list, a vector or the like, whose entries may be what `float` takes, but no text.
        name: What an error is to call it.

    Raises:
        InputError: If it is none.
    """
    problem = f"{name} {shown(given)}, which is no list of numbers"
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InputError(problem)
    try:
        numbers = list(given)
        if any(isinstance(number, str | bytes) for number in numbers):
            raise InputError(problem)
        return [float(number) for number in numbers]
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(problem) from error


def is_whole_number(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number that is not too large to be meant."""
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return -WHOLE_NUMBER_MAX <= value <= WHOLE_NUMBER_MAX


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number, which NaN is not."""
    return is_whole_number(value) or (isinstance(value, float) and value == value)


def meant(name: str, known: Sequence[str]) -> str:
    """Return which of some names was probably meant by another one, to end an error with."""
    near = get_close_matches(name[:_SHOWN_MAX].strip().lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """Return a value as an error repeats it: in a line, however large it is."""
    if isinstance(value, int) and abs(value) > WHOLE_NUMBER_MAX:  # Python writes none of some sizes
        return f"(a whole number of {value.bit_length()} bits)"
    try:
        text = repr(value)
    except ValueError:  # such a number, inside of something
        text = f"(a {type(value).__name__})"
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


@cache  # an integrator makes its rule anew each round
def _hints(of: Callable[..., object]) -> Mapping[str, Any]:
    return get_type_hints(of)


def _fits(value: object, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is float:
        return is_number(value)
    if hint is int:
        return is_whole_number(value)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:  # which texts there are, the class says
        return isinstance(value, str)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(it, parts[0]) for it in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, parts[0]) and _fits(it, parts[1]) for key, it in value.items()
        )
    if origin is not None:
        return callable(value)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts))
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin is tuple:
        return f"a list, each entry {_words(parts[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping, each value {_words(parts[1])}"
    if origin is not None:
        return "a function"
    return _WORDS.get(hint, f"a {hint.__name__}")
