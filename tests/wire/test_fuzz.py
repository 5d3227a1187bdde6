"""Whatever bytes come, a decoder returns a value that encodes to them, or raises RemoteError."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pfed.wire import frames, genesis, headers
from p2pfed.wire.payload import Payload, decode_payload, encode_payload
from tests.wire import samples
from tests.wire.mutations import count_outcomes
from tests.wire.test_frames import largest_messages

ROOT = Path(__file__).parents[2]
KINDS = {"accepted", "frame", "schema", "limit"}

FRAMES = [frames.encode(message) for message in samples.MESSAGES.values()]
LARGE_FRAMES = [frames.encode(message) for message in largest_messages()]
HEADERS = [samples.FIRST.encoded, samples.DIFFERENCE.encoded]
PAYLOADS = [samples.PAYLOAD, encode_payload(b"", {}), encode_payload(bytes(300), {"examples": 1})]
GENESES = [genesis.encode(samples.GENESIS)]


def decode_sections(data: bytes) -> Payload:
    return decode_payload(data, section_bytes_max=samples.SECTION_BYTES_MAX)


def encode_sections(payload: Payload) -> bytes:
    return encode_payload(payload.main, payload.claims, payload.side)


@pytest.mark.slow
@pytest.mark.no_cover
def test_frames() -> None:
    outcomes = count_outcomes(frames.decode, frames.encode, FRAMES, count=100_000, seed=1)
    assert outcomes.total() == 100_000
    assert set(outcomes) >= KINDS
    assert all(outcomes[kind] > 1_000 for kind in ("accepted", "frame", "schema")), outcomes


@pytest.mark.slow
def test_large_frames() -> None:
    outcomes = count_outcomes(frames.decode, frames.encode, LARGE_FRAMES, count=500, seed=2)
    assert set(outcomes) >= KINDS


@pytest.mark.slow
def test_headers() -> None:
    outcomes = count_outcomes(
        headers.decode_header, headers.encode_header, HEADERS, count=10_000, seed=3
    )
    assert set(outcomes) >= KINDS - {"limit"}
    assert outcomes["accepted"] > 100


@pytest.mark.slow
def test_payloads() -> None:
    outcomes = count_outcomes(decode_sections, encode_sections, PAYLOADS, count=10_000, seed=4)
    assert set(outcomes) >= KINDS
    assert outcomes["accepted"] > 100


@pytest.mark.slow
@pytest.mark.no_cover
def test_geneses() -> None:
    outcomes = count_outcomes(genesis.decode, genesis.encode, GENESES, count=10_000, seed=5)
    assert set(outcomes) >= KINDS
    assert outcomes["accepted"] > 100


@pytest.mark.slow
def test_with_the_python_implementation_of_msgpack() -> None:
    # Where no wheel fits the machine, msgpack runs without its C part, and raises other errors.
    program = """
import msgpack
from p2pfed.wire import frames
from tests.wire.mutations import count_outcomes
from tests.wire.test_canonical import LIES, REFUSED
from p2pfed.errors import RemoteError
from p2pfed.wire import canonical
from tests.wire.test_fuzz import FRAMES
assert msgpack.Unpacker.__module__ == "msgpack.fallback"
print(count_outcomes(frames.decode, frames.encode, FRAMES, count=2_000, seed=6))
for data in [*map(bytes.fromhex, REFUSED.values()), *LIES.values()]:
    try:
        canonical.unpack(data, bytes_max=65_536)
    except RemoteError:
        continue
    raise AssertionError(data[:20].hex())
"""
    environment = {**os.environ, "MSGPACK_PUREPYTHON": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "accepted" in run.stdout


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 200))
def test_ten_million_frames(seed: int) -> None:
    corpus = FRAMES if seed % 10 else FRAMES + LARGE_FRAMES
    count_outcomes(frames.decode, frames.encode, corpus, count=100_000, seed=seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(200, 210))
def test_a_million_of_everything_else(seed: int) -> None:
    count = 100_000
    count_outcomes(headers.decode_header, headers.encode_header, HEADERS, count=count, seed=seed)
    count_outcomes(decode_sections, encode_sections, PAYLOADS, count=count, seed=seed)
    count_outcomes(genesis.decode, genesis.encode, GENESES, count=count, seed=seed)
