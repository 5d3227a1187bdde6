"""The benchmark of the codecs: it measures all of them, and says what is missed."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmarks.codec_pairs import PAIRS, Pair
from benchmarks.codec_speed import measure_memory, measure_time, missed, section
from p2pfed.updates.registry import CODECS

SIZE = 20_000


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def find(name: str) -> Pair:
    return next(pair for pair in PAIRS if pair.codec.name == name)


def measured(seconds: float, copies: float) -> dict[str, Any]:
    names = ("encode", "decode", "plain encode", "plain decode")
    return {
        "wall_s": {name: [seconds] * 3 for name in names},
        "cpu_s": {name: [seconds] * 3 for name in names},
        "copies": {"encode": copies, "decode": copies},
        "bits_per_value": 8.0,
        "relative_error": 0.01,
        "machine": {"cpus": 2},
    }


def test_every_codec_is_measured() -> None:
    assert {pair.codec.name for pair in PAIRS} == set(CODECS)
    assert len({pair.title for pair in PAIRS}) == len(PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_a_measurement_fills_its_row(pair: Pair) -> None:
    found = measure_time(pair, SIZE) | measure_memory(pair, SIZE)
    assert f"| `{pair.title}` | {found['bits_per_value']:.2f} |" in section([(pair, found)], SIZE)


def test_what_is_too_slow_or_copies_too_often_is_said() -> None:
    pair, megabytes = find("int8"), 4 * SIZE / 1e6
    good = measured(megabytes / 501, copies=2.0)
    assert list(missed(pair, good, SIZE)) == []
    assert "All are met." in section([(pair, good)], SIZE)
    slow = copy.deepcopy(good)
    slow["wall_s"]["decode"] = [megabytes / 499] * 3
    assert list(missed(pair, slow, SIZE)) == ["`int8 block=256`: decode 499 MB/s, wanted 500"]
    fat = measured(megabytes / 501, copies=2.1)
    assert len(list(missed(pair, fat, SIZE))) == 2
    assert "Not met" in section([(pair, fat)], SIZE)
