"""The genesis: one document per agreement, and a report that names what differs."""

import tomllib
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import (
    FrameError,
    LimitExceeded,
    LocalError,
    RemoteError,
    SchemaError,
    SpecMismatch,
)
from p2pfed.limits import GENESIS_BYTES_MAX
from p2pfed.wire import genesis
from p2pfed.wire.genesis import Admission, Component, Genesis, Initial, ParameterEntry
from p2pfed.wire.genesis_report import describe, difference
from tests.wire import samples
from tests.wire.edits import APPEND, DELETE, edit
from tests.wire.strategies import geneses

G = samples.GENESIS
TO_PARAMETERS = b"\x9b\x01\xa1n\x01\xa1t\xc4\x20" + bytes(32)  # the fields before
S, L = SchemaError, LimitExceeded

RULES: list[tuple[str, list[tuple[tuple[Any, ...], Any]], type[RemoteError]]] = [
    ("is an array", [((), {})], FrameError),
    ("is not empty", [((), [])], SpecMismatch),
    ("format is known", [((0,), 2)], SpecMismatch),
    ("format is no boolean", [((0,), True)], SpecMismatch),
    ("format is no float", [((0,), 1.0)], SpecMismatch),
    ("has all fields", [((10,), DELETE)], S),
    ("has no other fields", [((APPEND,), None)], S),
    ("has at most 32 fields", [((), [1] * 33)], L),
    ("name is text", [((1,), b"x")], S),
    ("name is not empty", [((1,), "")], S),
    ("name is printable", [((1,), "a\tb")], S),
    ("name has at most 256 bytes", [((1,), "x" * 257)], L),
    ("seed is not negative", [((2,), -1)], S),
    ("seed is below 2^53", [((2,), 2**53)], S),
    ("task is not empty", [((3,), "")], S),
    ("base_model has 32 bytes", [((4,), bytes(8))], S),
    ("parameters is an array", [((5,), None)], FrameError),
    ("a parameter has three fields", [((5, 0, APPEND), 1)], S),
    ("a parameter has a name", [((5, 0, 0), "")], S),
    ("parameters differ in name", [((5, 0, 0), "scale")], S),
    ("a parameter's shape is an array", [((5, 0, 1), 8)], S),
    ("a parameter has at most 8 dimensions", [((5, 0, 1), [1] * 9)], L),
    ("a dimension is positive", [((5, 0, 1, 0), 0)], S),
    ("a dimension is an integer", [((5, 0, 1, 0), True)], S),
    ("a parameter's elements can be counted", [((5, 0, 1), [2**27, 2**27])], S),
    ("a parameter's dtype is a name", [((5, 0, 2), "torch.float32")], S),
    ("a parameter has at most 512 bytes", [((5, 0, 0), "x" * 600)], L),
    ("initial is a pair", [((6,), ["portable"])], S),
    ("initial.kind is known", [((6, 0), "random")], S),
    ("initial.digest has 32 bytes", [((6, 1), b"")], S),
    ("method is a pair", [((7,), "lora")], S),
    ("method.name is a name", [((7, 0), "LoRA")], S),
    ("method.constants is a map", [((7, 1), [])], S),
    ("a constant's name is a key", [((7, 1), {"Rank": 8})], S),
    ("a constant is below 2^53", [((7, 1), {"rank": 2**53})], S),
    ("a constant is not nil", [((7, 1), {"rank": None})], S),
    ("a constant is not bytes", [((7, 1), {"rank": b"8"})], S),
    ("a constant is not a map", [((7, 1), {"rank": {}})], S),
    ("a constant is finite", [((7, 1), {"rank": float("nan")})], FrameError),
    ("a constant text is printable", [((7, 1), {"rank": "\n"})], S),
    ("a constant list holds texts", [((7, 1), {"targets": [1]})], S),
    ("a constant list has at most 256 texts", [((7, 1), {"targets": ["x"] * 257})], L),
    ("method has at most 64 constants", [((7, 1), {f"k{n:02}": 1 for n in range(65)})], L),
    ("codec is checked likewise", [((8, 0), "")], S),
    ("section_bytes_max is a map", [((9,), [])], S),
    ("section_bytes_max names main", [((9,), {"gram": 1})], S),
    ("a section's name has no underscore", [((9,), {"a_b": 1, "main": 1})], S),
    ("a section may hold something", [((9,), {"main": 0})], S),
    ("a section is below 4 GiB", [((9,), {"main": 2**32})], S),
    ("claims may not exceed 4,096 bytes", [((9,), {"claims": 4097, "main": 1})], S),
    ("a payload has at most 15 sections", [((9,), {f"m{n:02}": 1 for n in range(16)})], L),
    (
        "claims and main count as sections",
        [((9,), {"main": 1, **{f"s{n:02}": 1 for n in range(14)}})],
        L,
    ),
    ("admission is an array", [((10,), "open")], S),
    ("admission is not empty", [((10,), [])], S),
    ("admission.rule is known", [((10,), ["closed"])], S),
    ("admission open has no argument", [((10,), ["open", []])], S),
    ("admission certificate has keys", [((10,), ["certificate"])], S),
    ("admission certificate has a key", [((10,), ["certificate", []])], S),
    ("admission keys have 32 bytes", [((10, 1, 0), bytes(31))], S),
    ("admission keys are sorted", [((10, 1), [b"b" * 32, b"a" * 32])], S),
    ("admission keys are different", [((10, 1), [bytes(32), bytes(32)])], S),
    (
        "admission has at most 256 keys",
        [((10, 1), [bytes([n % 256, n // 256]) * 16 for n in range(257)])],
        L,
    ),
    ("admission pre-shared-key has a hash", [((10,), ["pre-shared-key", ""])], S),
    ("a field other than parameters has at most 64 KiB", [((1,), "x" * 65_536)], L),
]


@pytest.mark.parametrize(
    ("changes", "error"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
def test_rule(changes: list[tuple[tuple[Any, ...], Any]], error: type[RemoteError]) -> None:
    broken = edit(genesis.encode(G), *changes)
    with pytest.raises(RemoteError) as caught:
        genesis.decode(broken)
    assert type(caught.value) is error


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x9b\x01", genesis.encode(G) + b"\x00"])
def test_refuses_what_is_not_one_array(data: bytes) -> None:
    with pytest.raises(FrameError):
        genesis.decode(data)


def test_size_comes_first() -> None:
    with pytest.raises(LimitExceeded, match="at most 4194304"):
        genesis.decode(bytes(GENESIS_BYTES_MAX + 1))


@given(geneses)
def test_round_trip(one: Genesis) -> None:
    encoded = genesis.encode(one)
    found = genesis.decode(encoded)
    assert found == one
    assert genesis.encode(found) == encoded


def test_many_parameters() -> None:
    entries = tuple(
        ParameterEntry(name=f"layers.{n}.lora_A.default.weight", shape=(8, 4096), dtype="float32")
        for n in range(5_000)
    )
    assert genesis.decode(genesis.encode(replace(G, parameters=entries))).parameters == entries


def test_order_of_constants_does_not_matter() -> None:
    turned = dict(reversed(list(G.method.constants.items())))
    other = replace(G, method=Component(name="lora", constants=turned))
    assert genesis.encode(other) == genesis.encode(G)


@pytest.mark.parametrize(
    "data",
    [
        b"\x9b\x01" + b"\xdd\x00\xff\xff\xff" * 1_000 + bytes(4_000_000),
        TO_PARAMETERS + b"\xdd\xff\xff\xff\xff",
        TO_PARAMETERS + b"\xdd\x00\x3f\x00\x00" + b"\x80" * 0x3F0000,
        b"\x9b\x01" + b"\xdd\x00\x3f\x00\x00" + b"\x80" * 0x3F0000 + b"\xc0" * 9,
    ],
    ids=["nested lies", "4 GiB of parameters", "4 million parameters", "4 million maps"],
)
def test_hostile_documents_take_little_memory(data: bytes) -> None:
    assert len(data) <= GENESIS_BYTES_MAX
    tracemalloc.start()
    with pytest.raises(RemoteError):
        genesis.decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5 * GENESIS_BYTES_MAX


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"seed": 2**53},
        {"base_model": b""},
        {"format": 2},
        {"initial": Initial(kind="zero", digest=bytes(32))},
        {"section_bytes_max": {}},
        {"method": Component(name="lora", constants={"rank": float("inf")})},
        {"admission": Admission(rule="open", keys=(bytes(32),))},
        {"admission": Admission(rule="open", key_hash=bytes(32))},
        {"admission": Admission(rule="certificate")},
        {"admission": Admission(rule="certificate", keys=(bytes(32),), key_hash=bytes(32))},
        {"admission": Admission(rule="certificate", keys=(b"b" * 32, b"a" * 32))},
        {"admission": Admission(rule="pre-shared-key")},
        {"admission": Admission(rule="closed")},
    ],
    ids=str,
)
def test_encode_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        genesis.encode(replace(G, **change))


def test_encode_says_which_keys_do_not_belong() -> None:
    wrong = Admission(rule="certificate", keys=(bytes(32),), key_hash=bytes(32))
    with pytest.raises(LocalError, match="admission certificate does not go with these keys"):
        genesis.encode(replace(G, admission=wrong))


PARAMETERS = G.parameters
DIFFERENCES: list[tuple[dict[str, Any], str]] = [
    ({"name": "other"}, 'name: "Example run" here, "other" there'),
    ({"seed": 7}, "seed: 20250101 here, 7 there"),
    (
        {"method": replace(G.method, constants={**G.method.constants, "rank": 16})},
        "method.constants.rank: 8 here, 16 there",
    ),
    (
        {"method": replace(G.method, constants={**G.method.constants, "rank": 8.0})},
        "method.constants.rank: 8 here, 8.0 there",
    ),
    (
        {"method": replace(G.method, constants={**G.method.constants, "freeze_a": 0})},
        "method.constants.freeze_a: false here, 0 there",
    ),
    (
        {"method": Component(name="lora", constants={"alpha": 16.0})},
        "method.constants.freeze_a: false here, missing there",
    ),
    (
        {"codec": Component(name="int8", constants={"a": 1, "rounding": "stochastic"})},
        "codec.constants.a: missing here, 1 there",
    ),
    ({"codec": Component(name="raw", constants={})}, 'codec.name: "int8" here, "raw" there'),
    ({"section_bytes_max": {"main": 1}}, "section_bytes_max.gram: 64 here, missing there"),
    ({"initial": replace(G.initial, kind="given")}, 'initial.kind: "portable" here, "given" there'),
    ({"admission": Admission()}, 'admission.rule: "certificate" here, "open" there'),
    (
        {"parameters": (replace(PARAMETERS[0], shape=(16, 384)), *PARAMETERS[1:])},
        "parameters[0].shape of encoder.query.lora_A: [8, 384] here, [16, 384] there",
    ),
    (
        {"parameters": (*PARAMETERS[:2], replace(PARAMETERS[2], dtype="float32"))},
        'parameters[2].dtype of scale: "bfloat16" here, "float32" there',
    ),
    (
        {"parameters": (PARAMETERS[0], PARAMETERS[2])},
        'parameters[1].name: "encoder.query.lora_B" here, "scale" there',
    ),
    ({"parameters": PARAMETERS[:2]}, 'parameters: 3 here, 2 there; "scale" is only here'),
    ({"seed": 7, "task": "digits"}, "seed: 20250101 here, 7 there"),
]


@pytest.mark.parametrize(("change", "report"), DIFFERENCES, ids=[d[1] for d in DIFFERENCES])
def test_difference_names_the_first_one(change: dict[str, Any], report: str) -> None:
    other = replace(G, **change)
    assert difference(G, other) == report
    field = report.split(":")[0].split(".")[0].split("[")[0]
    mine, theirs = genesis.field_digests(G), genesis.field_digests(other)
    assert genesis.first_differing_field(mine, theirs) == field
    assert genesis.run_id(genesis.encode(other)) != genesis.run_id(genesis.encode(G))


def test_difference_shortens_long_values() -> None:
    report = difference(replace(G, name="x" * 256), G)
    assert report is not None
    assert len(report) < 120


@given(geneses, geneses)
def test_difference_is_none_for_equal_documents_only(one: Genesis, other: Genesis) -> None:
    assert difference(one, one) is None
    same = genesis.encode(one) == genesis.encode(other)
    assert (difference(one, other) is None) == same
    digests = genesis.field_digests(one), genesis.field_digests(other)
    assert (genesis.first_differing_field(*digests) is None) == same


def test_first_differing_field_of_another_format() -> None:
    mine = (("format", b"1" * 8), ("name", b"2" * 8))
    assert genesis.first_differing_field(mine, ()) == "format"
    assert genesis.first_differing_field(mine, (*mine, ("mood", b"3" * 8))) == "mood"
    assert genesis.first_differing_field(mine, (mine[1], mine[0])) is None


def test_field_digests_are_in_document_order() -> None:
    assert tuple(name for name, _ in genesis.field_digests(G)) == genesis.FIELDS
    assert all(len(digest) == 8 for _, digest in genesis.field_digests(G))


def test_description_is_commented_toml() -> None:
    text = describe(G)
    assert genesis.run_id(genesis.encode(G)).hex() in text
    found = tomllib.loads(text)
    assert tuple(found) == genesis.FIELDS
    assert found["base_model"] == G.base_model.hex()
    assert found["method"]["constants"]["targets"] == ["query", "value"]
    assert found["parameters"][1] == {
        "name": "encoder.query.lora_B",
        "shape": [384, 8],
        "dtype": "float32",
    }
    assert found["admission"]["keys"] == [key.hex() for key in G.admission.keys]
    lines = text.splitlines()
    for name in genesis.FIELDS:
        line = next(n for n, it in enumerate(lines) if it.startswith((f"{name} =", f"[{name}]")))
        assert lines[line - 1].startswith("# ")


@given(geneses)
def test_description_is_valid_toml(one: Genesis) -> None:
    found = tomllib.loads(describe(one))
    assert found["name"] == one.name
    assert found["seed"] == one.seed
    assert found["section_bytes_max"] == one.section_bytes_max
    plain = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in one.method.constants.items()
    }
    assert found["method"]["constants"] == plain
    assert [entry["name"] for entry in found["parameters"]] == [e.name for e in one.parameters]


@given(st.binary(max_size=80))
def test_any_bytes_are_a_genesis_or_a_remote_error(data: bytes) -> None:
    try:
        found = genesis.decode(data)
    except RemoteError:
        return
    assert genesis.encode(found) == data
