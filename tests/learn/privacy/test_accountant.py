"""The accountant: opacus' figures, those of another library, and what it refuses."""

import pytest
import torch
from opacus.accountants import RDPAccountant

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.privacy.accountant import Accountant, Budget, BudgetSpent, Gaussian

STEP = Gaussian(noise_multiplier=1.1, sample_rate=0.02)

# By dp-accounting 0.6.0: RdpAccountant over the same orders, with
# SelfComposedDpEvent(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)), steps), delta 1e-5.
# It leaves some orders out, of which its series do not converge, and is a little larger then.
GOLDEN = [
    (1.1, 0.02, 1000, 3.5875829018497027),
    (1.0, 0.05, 600, 9.115499259883615),
    (0.6, 0.001, 5000, 2.9807290696093975),
    (4.0, 1.0, 20, 5.377728336819822),
    (0.5, 1.0, 3, 21.44485232771325),
    (2.0, 0.25, 64, 5.55061374182169),
]


def make(epsilon_max: float = 8.0, delta: float = 1e-5) -> Accountant:
    return Accountant(Budget(epsilon_max=epsilon_max, delta=delta))


@pytest.mark.parametrize(("noise", "rate", "count", "epsilon"), GOLDEN)
def test_epsilon_is_that_of_another_library(
    noise: float, rate: float, count: int, epsilon: float
) -> None:
    gaussian = Gaussian(noise_multiplier=noise, sample_rate=rate)
    assert make().epsilon(gaussian, count) == pytest.approx(epsilon, rel=1e-3)


def test_epsilon_is_that_of_opacus() -> None:
    theirs = RDPAccountant()
    for _ in range(100):
        theirs.step(noise_multiplier=1.1, sample_rate=0.02)
    # They try fewer orders, so that their bound may be a little larger.
    assert make().epsilon(STEP, 100) == pytest.approx(theirs.get_epsilon(1e-5), rel=0.01)


def test_nothing_told_costs_nothing() -> None:
    assert make().epsilon() == 0.0
    assert make().epsilon(STEP, 0) == 0.0


def test_releases_of_two_kinds_add_up() -> None:
    other = Gaussian(noise_multiplier=2.0)
    accountant = make()
    accountant.charge(STEP, 10)
    accountant.charge(other, 2)
    assert accountant.releases == 12
    assert accountant.epsilon() > make().epsilon(STEP, 10)
    assert accountant.epsilon() > make().epsilon(other, 2)
    assert accountant.epsilon() < make().epsilon(STEP, 10) + make().epsilon(other, 2)


def test_what_exceeds_the_budget_is_refused_and_not_counted() -> None:
    accountant = make(epsilon_max=1.0)
    count = 1
    while accountant.affords(STEP, count + 1):
        count += 1
    accountant.charge(STEP, count)
    before = accountant.epsilon()
    assert before <= 1.0
    with pytest.raises(BudgetSpent, match="of 1 at delta 1e-05"):
        accountant.charge(STEP, 1)
    assert (accountant.releases, accountant.epsilon()) == (count, before)


def test_a_restored_accountant_goes_on() -> None:
    accountant, restored = make(), make()
    accountant.charge(STEP, 10)
    accountant.charge(Gaussian(noise_multiplier=3.0), 1)
    restored.load_state(accountant.state())
    assert restored.epsilon() == accountant.epsilon()
    assert restored.releases == 11


def test_a_state_may_be_ahead() -> None:
    accountant, restored = make(), make()
    accountant.charge(STEP, 10)
    restored.load_state(accountant.state(STEP, 5))
    assert (accountant.releases, restored.releases) == (10, 15)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"history": torch.zeros(1, 3)},
        {"history": torch.zeros(3, dtype=torch.float64)},
        {"history": torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.float64)},
        {"history": torch.tensor([[1.0, 1.5, 1.0]], dtype=torch.float64)},
        {"history": torch.tensor([[1.0, 0.5, -1.0]], dtype=torch.float64)},
        {"history": torch.tensor([[1.0, 0.5, 0.5]], dtype=torch.float64)},
        {"history": torch.tensor([[1.0, 0.5, float("nan")]], dtype=torch.float64)},
        {"history": torch.zeros(0, 3, dtype=torch.float64), "other": torch.zeros(1)},
    ],
)
def test_a_damaged_history_is_named(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(LocalError, match="privac"):
        make().load_state(state)


@pytest.mark.parametrize("noise", [0.05, 0.5, 5.0, 500.0])
@pytest.mark.parametrize("rate", [1e-6, 0.01, 0.999, 1.0])
def test_every_setting_has_an_epsilon_that_grows(noise: float, rate: float) -> None:
    gaussian = Gaussian(noise_multiplier=noise, sample_rate=rate)
    few, many = (make().epsilon(gaussian, count) for count in (1, 1000))
    assert 0.0 <= few <= many < float("inf")


def test_wrong_numbers_are_named() -> None:
    for noise, rate in ((0.0, 0.5), (1.0, 0.0), (1.0, 1.5)):
        with pytest.raises(ConfigError, match=r"privacy\."):
            Gaussian(noise_multiplier=noise, sample_rate=rate)
    with pytest.raises(ConfigError, match=r"privacy\.delta"):
        Budget(epsilon_max=1.0, delta=1.0)
