"""What neighbors get to know of rows, and how many bytes that takes."""

import torch

from p2pfed.learn.mixing import Claim
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.updates.registry import create_codec
from p2pfed.wire.payload import encode_payload
from sim.rounds.letters import Letters

CLAIMS = [Claim(examples=10, degree=2), Claim(examples=3000, degree=2)]


def draw_rows(seed: int) -> torch.Tensor:
    return torch.randn(2, 64, generator=torch.Generator().manual_seed(seed))


def test_without_a_codec_rows_are_counted_as_they_are() -> None:
    rows = draw_rows(0)
    sent, counts = Letters(None, CLAIMS, size=64).send(rows)
    assert sent is rows
    assert counts == [256, 256]


def test_exact_rows_are_counted_as_payloads() -> None:
    rows = draw_rows(0)
    sent, counts = Letters(Float32(), CLAIMS, size=64).send(rows)
    assert sent is rows
    assert counts == [
        len(encode_payload(Float32().encode(row), claim.to_section()))
        for row, claim in zip(rows, CLAIMS, strict=True)
    ]


def test_rounded_rows_are_what_neighbors_decode() -> None:
    codec = create_codec("int8")
    rows = draw_rows(0)
    letters = Letters(codec, CLAIMS, size=64)
    sent, counts = letters.send(rows)
    if not codec.is_for_differences:
        assert torch.equal(sent[0], codec.decode(codec.encode(rows[0]), 64))
    assert counts[0] == len(encode_payload(codec.encode(rows[0]), CLAIMS[0].to_section()))


def test_differences_add_up_to_public_copies() -> None:
    codec = create_codec("int4")
    letters = Letters(codec, CLAIMS, size=64)
    first, second = draw_rows(0), draw_rows(1)
    copy = codec.decode(codec.encode(first[0]), 64)
    assert torch.equal(letters.send(first)[0][0], copy)
    expected = copy + codec.decode(codec.encode(second[0] - copy), 64)
    assert torch.equal(letters.send(second)[0][0], expected)
    assert letters.has_copies
