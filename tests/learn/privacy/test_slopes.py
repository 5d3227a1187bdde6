"""The scalar mechanism: a bound for each example, noise of the right size, and its price."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import ConfigError
from p2pfed.learn.privacy.accountant import Accountant, Budget, Gaussian
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.learn.privacy.slopes import private_slopes

STEP = Gaussian(noise_multiplier=2.0, sample_rate=0.1)
slopes_of_some = st.lists(st.floats(width=64), min_size=1, max_size=8)


def release(slopes: torch.Tensor, *, key: int = 0, clip: float = 3.0) -> torch.Tensor:
    numbers = SecretNumbers(bytes([key]) * 32)
    return private_slopes(slopes, clip=clip, batch_size=5, gaussian=STEP, numbers=numbers)


@given(slopes_of_some, st.integers(0, 7))
def test_one_example_changes_the_slope_by_no_more_than_the_bound(
    slopes: list[float], place: int
) -> None:
    table = torch.tensor(slopes, dtype=torch.float64)
    kept = torch.arange(len(slopes)) != place % len(slopes)
    change = float((release(table) - release(table[kept])).abs())  # the same noise cancels out
    assert change <= 3.0 / 5 * (1 + 1e-9)


def test_several_directions_share_the_bound() -> None:
    one = torch.tensor([[30.0, 40.0]])
    change = release(one) - release(one[:0])
    assert change.shape == (2,)
    assert change.tolist() == pytest.approx([3.0 * 0.6 / 5, 3.0 * 0.8 / 5])


def test_small_slopes_are_averaged_over_the_expected_batch() -> None:
    change = release(torch.tensor([1.0, 2.0])) - release(torch.empty(0))
    assert float(change) == pytest.approx((1.0 + 2.0) / 5)


def test_the_noise_is_that_of_the_definition() -> None:
    numbers = SecretNumbers(bytes(32))
    nobody = torch.empty(0, 20_000)
    noise = private_slopes(nobody, clip=3.0, batch_size=5, gaussian=STEP, numbers=numbers)
    assert float(noise.std()) == pytest.approx(2.0 * 3.0 / 5, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.03)


def test_the_noise_is_new_each_time_and_secret() -> None:
    numbers = SecretNumbers(bytes(32))
    given_slopes = torch.tensor([1.0])
    drawn = {
        float(private_slopes(given_slopes, clip=1.0, batch_size=1, gaussian=STEP, numbers=numbers))
        for _ in range(3)
    }
    assert len(drawn) == 3
    assert float(release(given_slopes)) != float(release(given_slopes, key=1))


def test_a_step_costs_one_sampled_release() -> None:
    accountant = Accountant(Budget(epsilon_max=3.0, delta=1e-5))
    accountant.charge(STEP, 100)
    assert accountant.epsilon() == pytest.approx(accountant.epsilon(STEP, 0))
    assert 0.0 < accountant.epsilon() < 3.0


def test_wrong_numbers_are_named() -> None:
    numbers = SecretNumbers(bytes(32))
    for clip, size in ((0.0, 1), (1.0, 0)):
        with pytest.raises(ConfigError):
            private_slopes(
                torch.ones(1), clip=clip, batch_size=size, gaussian=STEP, numbers=numbers
            )
