"""What messages, events and effects are made of: immutable records that are quick to make."""

from typing import Any, dataclass_transform

import msgspec
from msgspec import Struct, StructMeta


class _ValueMeta(StructMeta):
    """Makes every class of values frozen, with fields given by keyword.

    Not by words beside its bases, which mypyc does not hand on when it compiles a class.
    """

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **words: object
    ) -> Any:
        assert words.keys() <= {"frozen", "kw_only"}, "values have no other form"
        return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(Struct, frozen=True, kw_only=True, metaclass=_ValueMeta):
    """Base of values: equal if all fields are, hashable if they are, never changed.

    `msgspec.structs.replace` returns a copy with other fields. Types of fields are for readers and
    type checkers: what comes from outside is checked where it is read.
    """
