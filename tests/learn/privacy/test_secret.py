"""Secret numbers: fresh from each key, uniform and normal."""

import hashlib

import pytest
import torch

from p2pfed.learn.privacy.secret import SecretNumbers

KEY = bytes(range(32))


def test_a_key_decides_everything() -> None:
    def draw(key: bytes) -> list[float]:
        numbers = SecretNumbers(key)
        return [*numbers.uniform(3).tolist(), *numbers.normal(3).tolist()]

    assert draw(KEY) == draw(KEY)
    assert set(draw(KEY)) & set(draw(bytes(32))) == set()


def test_no_number_comes_twice() -> None:
    numbers = SecretNumbers(KEY)
    drawn = torch.cat([numbers.uniform(1000) for _ in range(5)])
    assert len(drawn.unique()) == 5000


def test_the_stream_is_chacha20_of_the_key() -> None:
    # By libsodium's own function, so that a change of the stream does not pass unseen.
    from nacl.utils import randombytes_deterministic

    seed = hashlib.blake2b(bytes(8), key=KEY, digest_size=32).digest()
    words = randombytes_deterministic(16, seed)
    expected = [(int.from_bytes(words[i : i + 8], "little") >> 11) * 2.0**-53 for i in (0, 8)]
    assert SecretNumbers(KEY).uniform(2).tolist() == expected


def test_uniform_numbers_are_uniform() -> None:
    drawn = SecretNumbers(KEY).uniform(100_000)
    assert drawn.dtype == torch.float64
    assert float(drawn.min()) >= 0.0
    assert float(drawn.max()) < 1.0
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(drawn.var()) == pytest.approx(1 / 12, abs=0.002)


def test_normal_numbers_are_normal() -> None:
    drawn = SecretNumbers(KEY).normal(400_001)
    assert drawn.shape == (400_001,)
    moments = [float((drawn**power).mean()) for power in (1, 2, 3, 4)]
    assert moments == pytest.approx([0.0, 1.0, 0.0, 3.0], abs=0.04)
    assert float((drawn.abs() > 1.959964).double().mean()) == pytest.approx(0.05, abs=0.002)
    # Neighbors in the stream have nothing to do with each other.
    assert float((drawn[1:] * drawn[:-1]).mean()) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_any_count_can_be_drawn(count: int) -> None:
    numbers = SecretNumbers(KEY)
    assert numbers.uniform(count).shape == (count,)
    assert numbers.normal(count).shape == (count,)


def test_parts_are_told_apart() -> None:
    def first(*parts: bytes) -> float:
        return float(SecretNumbers.derive(*parts).uniform(1))

    assert first(b"ab", b"c") == first(b"ab", b"c") != first(b"a", b"bc")


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretNumbers(b"short")
