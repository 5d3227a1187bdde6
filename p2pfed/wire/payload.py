"""Payloads: one canonical map of named sections.

`main` holds the encoded parameters, `claims` numbers that the author reports of itself, every
other section belongs to a side channel of that name. Sections of hundreds of megabytes are
neither copied nor parsed here: the map around them is read by hand.
"""

from collections.abc import Mapping
from typing import Final

from p2pfed.errors import FrameError, LimitExceeded, LocalError, RemoteError, SchemaError
from p2pfed.limits import CLAIMS_BYTES_MAX, NAME_BYTES_MAX, SECTION_BYTES_MAX, SECTIONS_MAX
from p2pfed.values import Value
from p2pfed.wire import canonical, schema

MAIN: Final = "main"
CLAIMS: Final = "claims"

_MAP: Final = 0x80  # fixmap: the low four bits count the entries
_TEXT: Final = 0xA0  # fixstr: the low five bits are the length
_TEXT_8: Final = 0xD9  # str 8
# Marker of a byte string -> bytes of its length, and the shortest string that needs so many.
_BINARY: Final = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_CLAIMS_MAX: Final = CLAIMS_BYTES_MAX // 3  # entries; the shortest takes three bytes
_INTEGER_MAX: Final = 2**53 - 1  # exact in every language's number type

_PACKED: Final = {name: canonical.pack(name) for name in (MAIN, CLAIMS)}  # are in every payload

Claims = Mapping[str, int | float | bool]


class Payload(Value):
    """A payload in its parts.

    Attributes:
        main: The encoded parameters, a view of the received bytes.
        claims: Numbers that the author reports of itself; believed with a cap, or not at all.
        side: Sections of side channels by name, views of the received bytes.
    """

    main: memoryview
    claims: Claims
    side: Mapping[str, memoryview] = {}


def encode_payload(
    main: bytes | bytearray | memoryview,
    claims: Claims,
    side: Mapping[str, bytes | bytearray | memoryview] | None = None,
) -> bytes:
    """Return the payload of these sections; `main` is copied once.

    Args:
        main: The encoded parameters, below 4 GiB.
        claims: Finite numbers by short name; may be empty.
        side: Sections of side channels by name.

    Raises:
        LocalError: If a name, number or size breaks a rule of the schema.
    """
    sections = {**(side or {}), MAIN: main, CLAIMS: b""}
    if len(sections) != len(side or {}) + 2 or len(sections) > SECTIONS_MAX:
        raise LocalError(f"side channels {sorted(side or {})}: not main, not claims, at most 13")
    parts: list[bytes | bytearray | memoryview] = [bytes([_MAP | len(sections)])]
    try:
        for name in sorted(sections):
            parts.append(_PACKED.get(name) or _pack_name(name))
            if name == CLAIMS:
                parts.append(_encode_claims(claims))
            else:
                parts += [_binary_header(memoryview(sections[name]).nbytes), sections[name]]
    except RemoteError as error:
        raise LocalError(f"cannot encode this payload: {error}") from error
    return b"".join(parts)


def decode_payload(data: bytes | memoryview, *, section_bytes_max: Mapping[str, int]) -> Payload:
    """Return the sections of a payload without copying them.

    Args:
        data: The whole payload.
        section_bytes_max: Largest size of each section that may occur, in bytes, from the
            genesis. `claims` may always occur, with at most 4,096 bytes.

    Raises:
        RemoteError: If the bytes are not a payload, or a section is unknown, missing, or too
            large; nothing else, whatever the bytes.
    """
    view = memoryview(data)
    if not len(view):
        raise FrameError("no bytes")
    count = view[0] - _MAP
    if not 0 <= count <= SECTIONS_MAX:
        raise FrameError(f"a payload is a map of at most {SECTIONS_MAX} sections")
    claims: Claims | None = None
    sections: dict[str, memoryview] = {}
    position, previous = 1, ""
    for _ in range(count):
        name, position = _read_name(view, position)
        if name <= previous:
            raise FrameError("sections out of order")
        previous = name
        if name == CLAIMS:
            claims, position = _read_claims(view, position, section_bytes_max.get(CLAIMS))
        elif name in section_bytes_max:
            sections[name], position = _read_binary(view, position, section_bytes_max[name])
        else:
            raise SchemaError(f"no section may be called {name}")
    if position != len(view):
        raise FrameError("bytes after the end of the payload")
    main = sections.pop(MAIN, None)
    if main is None or claims is None:
        raise SchemaError("a payload has the sections main and claims")
    return Payload(main=main, claims=claims, side=sections)


def payload_bytes_max(section_bytes_max: Mapping[str, int]) -> int:
    """Return the size of the largest payload that a run allows, in bytes.

    Raises:
        LimitExceeded: If a section may be larger than msgpack can express.
    """
    sections = {CLAIMS: CLAIMS_BYTES_MAX, **section_bytes_max}
    names_bytes = sum(len(canonical.pack(name)) for name in sections)
    headers_bytes = sum(len(_binary_header(sections[name])) for name in sections if name != CLAIMS)
    return 1 + names_bytes + headers_bytes + sum(sections.values())


def check_section_limits(section_bytes_max: Mapping[str, int]) -> None:
    """Check a run's table of section limits.

    Raises:
        RemoteError: If a name or size breaks a rule of the schema, or `main` is missing.
    """
    for name, size in section_bytes_max.items():
        high = CLAIMS_BYTES_MAX if name == CLAIMS else SECTION_BYTES_MAX
        schema.word(name, name="a section's name")
        schema.integer(size, 1, high, name=f"section_bytes_max.{name}")
    if len({*section_bytes_max, MAIN, CLAIMS}) > SECTIONS_MAX:
        raise LimitExceeded(f"more than {SECTIONS_MAX} sections, main and claims among them")
    if MAIN not in section_bytes_max:
        raise SchemaError("section_bytes_max does not name main")


def _pack_name(name: str) -> bytes:
    return canonical.pack(schema.word(name, name="a section's name"))


def _encode_claims(claims: Claims) -> bytes:
    encoded = canonical.pack(dict(claims))
    if len(encoded) > CLAIMS_BYTES_MAX:
        raise LimitExceeded(f"claims have {len(encoded)} bytes, at most {CLAIMS_BYTES_MAX}")
    _check_claims(dict(claims))
    return encoded


def _check_claims(value: object) -> Claims:
    claims: dict[str, int | float | bool] = {}
    for name, claim in schema.mapping(value, _CLAIMS_MAX, name="claims").items():
        if type(claim) is bool or type(claim) is float:
            claims[name] = claim
        else:
            claims[name] = schema.integer(claim, -_INTEGER_MAX, _INTEGER_MAX, name=f"claims.{name}")
    return claims


def _read_claims(view: memoryview, position: int, size_max: int | None) -> tuple[Claims, int]:
    limit = min(CLAIMS_BYTES_MAX, size_max or CLAIMS_BYTES_MAX)
    # One byte more than allowed, so that what ends there shows as too long and not as cut off.
    ahead = bytes(view[position : position + limit + 1])
    try:
        size = canonical.value_bytes(ahead)
    except FrameError:
        if len(ahead) > limit:
            raise LimitExceeded(f"claims have more than {limit} bytes") from None
        raise
    claims = _check_claims(canonical.unpack(ahead[:size], bytes_max=limit))
    return claims, position + size


def _read_name(view: memoryview, position: int) -> tuple[str, int]:
    """Read a section's name; all of them are ASCII."""
    marker = _read_number(view, position, 1)
    if _TEXT <= marker < _TEXT + 32:
        size, start = marker - _TEXT, position + 1
    elif marker == _TEXT_8:
        size, start = _read_number(view, position + 1, 1), position + 2
        if size < 32:
            raise FrameError("not in canonical form")
    else:
        raise FrameError("a section's name is text")
    if size > NAME_BYTES_MAX:
        raise LimitExceeded(f"a section's name has {size} bytes, at most {NAME_BYTES_MAX}")
    raw = _slice(view, start, size)
    try:
        name = str(raw, "ascii")
    except UnicodeDecodeError as error:
        raise SchemaError("a section's name is not ASCII") from error
    return schema.word(name, name="a section's name"), start + size


def _read_binary(view: memoryview, position: int, size_max: int) -> tuple[memoryview, int]:
    marker = _read_number(view, position, 1)
    if marker not in _BINARY:
        raise SchemaError("a section is bytes")
    width, size_min = _BINARY[marker]
    size = _read_number(view, position + 1, width)
    if size < size_min:
        raise FrameError("not in canonical form")
    if size > size_max:
        raise LimitExceeded(f"a section has {size} bytes, at most {size_max}")
    start = position + 1 + width
    return _slice(view, start, size), start + size


def _read_number(view: memoryview, position: int, width: int) -> int:
    return int.from_bytes(_slice(view, position, width), "big")


def _slice(view: memoryview, start: int, size: int) -> memoryview:
    if start + size > len(view):
        raise FrameError("the payload ends within a section")
    return view[start : start + size]


def _binary_header(size: int) -> bytes:
    for marker, (width, size_min) in reversed(_BINARY.items()):
        if size_min <= size < 1 << (8 * width):
            return bytes([marker]) + size.to_bytes(width, "big")
    raise LimitExceeded(f"a section has {size} bytes, at most {SECTION_BYTES_MAX}")
