"""One increment: what quantization leaves of a change, and hostile bytes."""

import struct
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError, ConfigError, LimitExceeded, LocalError, RemoteError
from p2pfed.updates.adapter_set.increment import Increment, bytes_max, decode, make_increment
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.stacking import LowRankChange
from tests.updates.adapter_set.adapters import TERMS, change, increment

SMALL = Terms(run_id=b"", shapes=((2, 1),), rank_max=1)
# Epoch 3, weight 0.5, rank 1, scale 2^-12, B = (127, -2), A = (1).
GOLDEN = bytes([3]) + struct.pack("<f", 0.5) + b"\1" + struct.pack("<f", 2.0**-12) + b"\x7f\xfe\x01"
GOLDEN_ID = "f47f8290928fad5451727e5ec3ea171a7ae8184cc9a07c07d8cfc79e3c2bc466"


def test_golden_bytes() -> None:
    found = decode(GOLDEN, SMALL)
    only = found.change(0)
    assert only is not None
    assert only.product().tolist() == [[127 / 8192], [-2 / 8192]]
    assert (found.epoch, found.weight, found.is_empty) == (3, 0.5, False)
    assert found.id.hex() == GOLDEN_ID


@pytest.mark.parametrize(("bits", "error"), [(8, 0.02), (16, 1e-4)])
def test_quantization_loses_little(bits: int, error: float) -> None:
    terms = replace(TERMS, bits=bits)
    # Columns of B and rows of A of very different lengths, as singular values leave them.
    given_change = change(0, 3, 0)
    skewed = LowRankChange(
        given_change.left * torch.tensor([1.0, 30.0, 0.01]),
        given_change.right / torch.tensor([1.0, 30.0, 0.01])[:, None],
    )
    made = make_increment([skewed, None], terms, epoch=0).change(0)
    assert made is not None
    wanted = given_change.product().double()
    assert float((made.product() - wanted).norm() / wanted.norm()) < error


def test_a_change_of_nothing_takes_a_byte() -> None:
    zero = LowRankChange(torch.zeros(6, 2), torch.ones(2, 5))
    made = make_increment([zero, None], TERMS, epoch=0)
    assert made.layers == (None, None)
    assert made.data[-2:] == b"\0\0"


def test_what_could_exceed_an_entry_is_refused() -> None:
    large = GOLDEN[:6] + struct.pack("<f", 1.0) + GOLDEN[10:]
    assert make_increment_of(large).reach() == 0.5 * 127
    with pytest.raises(LimitExceeded, match="could exceed 16 in an entry"):
        decode(large, SMALL)


def make_increment_of(data: bytes) -> Increment:
    return decode(data, replace(SMALL, entry_max=64.0))


@settings(max_examples=60)
@given(st.binary(max_size=80), st.integers(0, 80), st.booleans())
def test_no_bytes_do_harm(noise: bytes, at: int, is_grafted: bool) -> None:
    good = increment(1).data
    data = good[:at] + noise + good[at + len(noise) :] if is_grafted else noise
    try:
        found = decode(memoryview(data), TERMS)
    except RemoteError:
        return
    assert found.data == data
    for layer in range(2):
        made = found.change(layer)
        assert made is None or float(made.product().abs().max()) <= TERMS.entry_max


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOLDEN[:-1], "end early"),
        (GOLDEN + b"\0", "bytes after the end"),
        (GOLDEN[:1] + struct.pack("<f", -0.5) + GOLDEN[5:], "weight or scale of -0.5"),
        (GOLDEN[:1] + struct.pack("<f", float("nan")) + GOLDEN[5:], "weight or scale of nan"),
        (GOLDEN[:5] + b"\2" + GOLDEN[6:], "rank 2, at most 1"),
        (GOLDEN[:-1] + b"\x80", "number below -127"),
        (b"\xff\xff\xff\xff\x7f" + GOLDEN[1:], "increment of epoch"),
        (bytes(bytes_max(SMALL) + 1), "bytes, at most"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        decode(data, SMALL)


@pytest.mark.parametrize(
    ("changes", "constants"),
    [
        ([None], {}),
        ([change(1, 2, 0), None], {}),
        ([LowRankChange(torch.ones(5, 1), torch.ones(1, 6)), None], {}),
        ([change(0, 9, 0), None], {}),
        ([change(0, 2, 0, scale=1e3), None], {}),
        ([change(0, 2, 0, scale=float("nan")), None], {}),
        ([None, None], {"epoch": -1}),
        ([None, None], {"weight": 0.0}),
        ([None, None], {"weight": 1e300}),
    ],
)
def test_changes_out_of_range_are_not_made(changes, constants) -> None:
    with pytest.raises(LocalError):
        make_increment(changes, TERMS, **{"epoch": 0, **constants})


@pytest.mark.parametrize(
    ("constants", "field"),
    [
        ({"shapes": ()}, "method.shapes"),
        ({"shapes": ((3, 0),)}, "method.shapes"),
        ({"bits": 4}, "method.bits"),
        ({"rank_max": 0}, "method.rank_max"),
        ({"rank_max": 2**20, "bits": 16}, "method.rank_max"),
        ({"entry_max": 0.0}, "method.entry_max"),
        ({"budget": 15.0}, "method.budget"),
        ({"open_max": 1}, "method.open_max"),
        ({"open_max": 2**11}, "method.open_max"),
        ({"tolerance": 1.0}, "method.tolerance"),
    ],
)
def test_terms_out_of_range_are_named(constants: dict, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Terms(**{"run_id": b"", "shapes": ((9, 9),), **constants})
    assert caught.value.field == field
