"""The genesis: what all peers of a run agree on, as one canonical document.

Its BLAKE3-256 is the run id. Fields stand in the document in the order of the class below; the
order, the names and the meaning of `format` 1 never change.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from p2pfed.errors import LimitExceeded, LocalError, RemoteError, SchemaError, SpecMismatch
from p2pfed.limits import (
    ADMISSION_KEYS_MAX,
    CONSTANT_WORDS_MAX,
    CONSTANTS_MAX,
    DIMENSIONS_MAX,
    GENESIS_BYTES_MAX,
    GENESIS_FIELD_BYTES_MAX,
    GENESIS_FIELDS_MAX,
    PARAMETER_BYTES_MAX,
    PARAMETERS_MAX,
    SECTIONS_MAX,
    SEED_MAX,
)
from p2pfed.wire import canonical, schema
from p2pfed.wire.hashes import content_hash
from p2pfed.wire.membership import FIELD_DIGEST_BYTES
from p2pfed.wire.payload import check_section_limits

FORMAT: Final = 1

_INTEGER_MAX: Final = 2**53 - 1  # exact in every language's number type

Constant = int | float | str | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEntry:
    """One trainable tensor.

    Attributes:
        name: As the model names it.
        shape: Its dimensions, empty for a scalar.
        dtype: Type of its elements, such as `float32`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """The trainable vector that everybody starts from.

    Attributes:
        kind: `portable` when every peer computes it from the seed, `given` when it is fetched.
        digest: BLAKE3-256 of the vector, 32 bytes.
    """

    kind: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """An update method or payload codec, with its constants.

    Attributes:
        name: Its name in the table of its kind.
        constants: Its arguments by name.
    """

    name: str
    constants: Mapping[str, Constant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may take part.

    Attributes:
        rule: `open` to everybody; `certificate`: whoever a key of `keys` vouches for;
            `pre-shared-key`: whoever knows the key.
        keys: Ed25519 public keys, ascending, that may sign memberships, invitations and
            revocations; only under `certificate`.
        key_hash: BLAKE3-256 of the shared key, only under `pre-shared-key`.
    """

    rule: str = "open"
    keys: tuple[bytes, ...] = ()
    key_hash: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """What all peers of a run agree on, in document order.

    Attributes:
        format: Version of this document, 1.
        name: Of the run, for people.
        seed: Of everything random that peers share, in [0, 2^53).
        task: Name of the task, or `package.module:factory`.
        base_model: BLAKE3-256 of the values that are not trained, 32 bytes.
        parameters: The trainable tensors, in the order of the trainable vector.
        initial: The trainable vector that everybody starts from.
        method: The update method.
        codec: The payload codec.
        section_bytes_max: Largest size of each payload section, in bytes; names `main`.
        admission: Who may take part.
    """

    format: int = FORMAT
    name: str
    seed: int
    task: str
    base_model: bytes
    parameters: tuple[ParameterEntry, ...]
    initial: Initial
    method: Component
    codec: Component
    section_bytes_max: Mapping[str, int]
    admission: Admission = Admission()


FIELDS: Final = tuple(field.name for field in fields(Genesis))

_PARAMETERS: Final = FIELDS.index("parameters")
_INITIALS: Final = {"portable": "portable", "given": "given"}
_RULES: Final = {rule: rule for rule in ("open", "certificate", "pre-shared-key")}


def encode(genesis: Genesis) -> bytes:
    """Return the document.

    Raises:
        LocalError: If the genesis breaks a rule of the schema.
    """
    encoded = canonical.pack([_value(genesis, name) for name in FIELDS])
    try:
        decode(encoded)
    except RemoteError as error:
        raise LocalError(f"no valid genesis: {error}") from error
    return encoded


def decode(data: bytes) -> Genesis:
    """Read a document.

    Raises:
        RemoteError: If it is not a canonical genesis of this format; nothing else, whatever the
            bytes.
    """
    if len(data) > GENESIS_BYTES_MAX:
        raise LimitExceeded(f"genesis of {len(data)} bytes, at most {GENESIS_BYTES_MAX}")
    parts = canonical.elements(data, elements_max=GENESIS_FIELDS_MAX)
    found = _unpack(parts[0]) if parts else None
    if found != FORMAT or type(found) is not int:
        version = found if type(found) is int else "no"
        raise SpecMismatch(f"genesis of format {version}, this software reads {FORMAT}")
    if len(parts) != len(FIELDS):
        raise SchemaError(f"genesis has {len(parts)} fields, not {len(FIELDS)}")
    name, seed, task, base_model = (_unpack(part) for part in parts[1:_PARAMETERS])
    initial, method, codec, section_bytes_max, admission = (
        _unpack(part) for part in parts[_PARAMETERS + 1 :]
    )
    return Genesis(
        name=schema.text(name, name="name", size_min=1),
        seed=schema.integer(seed, 0, SEED_MAX, name="seed"),
        task=schema.text(task, name="task", size_min=1),
        base_model=schema.digest(base_model, name="base_model"),
        parameters=_read_parameters(parts[_PARAMETERS]),
        initial=_read_initial(initial),
        method=_read_component(method, "method"),
        codec=_read_component(codec, "codec"),
        section_bytes_max=_read_section_limits(section_bytes_max),
        admission=_read_admission(admission),
    )


def run_id(encoded: bytes) -> bytes:
    """Return the id of the run that an encoded genesis founds, 32 bytes."""
    return content_hash(encoded)


def field_digests(genesis: Genesis) -> tuple[tuple[str, bytes], ...]:
    """Return each field's name with the first 8 bytes of its value's BLAKE3, for Hello.

    Raises:
        LocalError: If a field has no canonical encoding.
    """
    return tuple(
        (name, content_hash(canonical.pack(_value(genesis, name)))[:FIELD_DIGEST_BYTES])
        for name in FIELDS
    )


def first_differing_field(
    mine: tuple[tuple[str, bytes], ...], theirs: tuple[tuple[str, bytes], ...]
) -> str | None:
    """Return the name of the first field whose digests differ, or that only one side has."""
    others = dict(theirs)
    for name, digest in mine:
        if others.pop(name, None) != digest:
            return name
    return next(iter(others), None)


def _value(genesis: Genesis, name: str) -> object:
    """Return a field as it stands in the document."""
    match getattr(genesis, name):
        case Initial() as initial:
            return [initial.kind, initial.digest]
        case Component() as component:
            return [component.name, dict(component.constants)]
        case Admission(rule="certificate", key_hash=None) as admission:
            return [admission.rule, list(admission.keys)]
        case Admission(rule="pre-shared-key", keys=()) as admission:
            return [admission.rule, admission.key_hash]
        case Admission(keys=(), key_hash=None) as admission:
            return [admission.rule]
        case Admission() as admission:
            raise LocalError(f"admission {admission.rule} does not go with these keys")
        case value if name == "parameters":
            return [[entry.name, list(entry.shape), entry.dtype] for entry in value]
        case value if name == "section_bytes_max":
            return dict(value)
        case value:
            return value


def _unpack(part: bytes) -> object:
    return canonical.unpack(part, bytes_max=GENESIS_FIELD_BYTES_MAX)


def _read_parameters(part: bytes) -> tuple[ParameterEntry, ...]:
    # One by one, so that a hostile document never stands in memory as millions of objects.
    found = tuple(
        _read_parameter(canonical.unpack(entry, bytes_max=PARAMETER_BYTES_MAX))
        for entry in canonical.elements(part, elements_max=PARAMETERS_MAX)
    )
    if len({entry.name for entry in found}) != len(found):
        raise SchemaError("parameters names one twice")
    return found


def _read_parameter(value: object) -> ParameterEntry:
    name, shape, dtype = schema.array(value, count=3, name="a parameter")
    dimensions = schema.array_up_to(shape, DIMENSIONS_MAX, name="a parameter's shape")
    entry = ParameterEntry(
        name=schema.text(name, name="a parameter's name", size_min=1),
        shape=tuple(
            schema.integer(size, 1, _INTEGER_MAX, name="a parameter's dimension")
            for size in dimensions
        ),
        dtype=schema.word(dtype, name="a parameter's dtype"),
    )
    if math.prod(entry.shape) > _INTEGER_MAX:
        raise SchemaError(f"a parameter has more than {_INTEGER_MAX} elements")
    return entry


def _read_initial(value: object) -> Initial:
    kind, digest = schema.array(value, count=2, name="initial")
    return Initial(
        kind=schema.chosen(kind, _INITIALS, name="initial.kind"),
        digest=schema.digest(digest, name="initial.digest"),
    )


def _read_component(value: object, name: str) -> Component:
    found, constants = schema.array(value, count=2, name=name)
    entries = schema.mapping(constants, CONSTANTS_MAX, name=f"{name}.constants")
    return Component(
        name=schema.word(found, name=f"{name}.name"),
        constants={
            key: _read_constant(constant, f"{name}.constants.{key}")
            for key, constant in entries.items()
        },
    )


def _read_constant(value: object, name: str) -> Constant:
    if type(value) is bool or type(value) is float:
        return value
    if type(value) is int:
        return schema.integer(value, -_INTEGER_MAX, _INTEGER_MAX, name=name)
    if type(value) is list:
        words = schema.array_up_to(value, CONSTANT_WORDS_MAX, name=name)
        return tuple(schema.text(word, name=f"an element of {name}") for word in words)
    return schema.text(value, name=name)


def _read_section_limits(value: object) -> Mapping[str, int]:
    found = schema.mapping(value, SECTIONS_MAX, name="section_bytes_max")
    limits = {
        name: schema.integer(size, 1, _INTEGER_MAX, name=f"section_bytes_max.{name}")
        for name, size in found.items()
    }
    check_section_limits(limits)
    return limits


def _read_admission(value: object) -> Admission:
    rule, *rest = schema.array_up_to(value, 2, name="admission", count_min=1)
    found = schema.chosen(rule, _RULES, name="admission.rule")
    if len(rest) != (found != "open"):
        raise SchemaError(f"admission {found} has {len(rest)} arguments")
    if found == "open":
        return Admission()
    if found == "pre-shared-key":
        return Admission(rule=found, key_hash=schema.digest(rest[0], name="admission.key_hash"))
    values = schema.array_up_to(rest[0], ADMISSION_KEYS_MAX, name="admission.keys", count_min=1)
    keys = tuple(schema.public_key(key, name="admission.keys") for key in values)
    if list(keys) != sorted(set(keys)):
        raise SchemaError("admission.keys are not in ascending order, each once")
    return Admission(rule=found, keys=keys)
