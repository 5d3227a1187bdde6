"""What published methods make of peers of different speeds, seen on quadratic losses.

Each peer's loss is least at a number of its own; the slower the peer, the larger the number. The
mean loss is least at their mean, which is 0: wherever else the peers end up is bias.
"""

import random
from dataclasses import replace
from itertools import pairwise
from statistics import correlation, fmean

import pytest

from p2pfed.core.config import IntegrationMoment, IntervalAverage, ParticipationConfig
from tests.learn.quadratics import Quadratics, Setting, jitter, mean

pytestmark = pytest.mark.slow  # a second in all

COUNT = 10
TARGETS = [2.0 * number / (COUNT - 1) - 1.0 for number in range(COUNT)]
FIVE_TIMES = [1.0 + 4.0 * number / (COUNT - 1) for number in range(COUNT)]
SECONDS = 600.0

# Each peer is heard of as often as it has trained: rows are used once.
ONCE = Setting(targets=TARGETS, train_s=FIVE_TIMES)


def weighed(setting: Setting, average: IntervalAverage) -> Setting:
    participation = ParticipationConfig(average=average, weight_max=5.0, interval_max=20)
    return replace(setting, participation=participation)


def seen(setting: Setting) -> list[list[float]]:
    return Quadratics(setting).run(SECONDS)


def bias(setting: Setting) -> float:
    return abs(mean(seen(setting)))


# FedFix and FedBuff --------------------------------------------------------------------------

SOME_FIT = replace(ONCE, integrate=IntegrationMoment.WINDOW, window_s=2.0)
ALL_FIT = replace(ONCE, integrate=IntegrationMoment.WINDOW, window_s=5.6)


def buffers(arrivals: int) -> Setting:
    return replace(ONCE, integrate=IntegrationMoment.ARRIVALS, arrivals=arrivals)


@pytest.mark.parametrize("average", IntervalAverage)
@pytest.mark.parametrize(
    "setting", [ONCE, SOME_FIT, buffers(3)], ids=["after-training", "window", "arrivals"]
)
def test_weights_leave_a_tenth_of_the_bias_of_asynchrony(
    setting: Setting, average: IntervalAverage
) -> None:
    plain = bias(setting)
    assert plain > 0.2  # the mean of the targets by 1 / time is 0.33 away
    assert bias(weighed(setting, average)) < plain / 10.0


def test_windows_that_all_fit_into_have_no_bias_to_begin_with() -> None:
    assert bias(ALL_FIT) < bias(ONCE) / 10.0


def test_rows_that_stay_in_use_have_no_bias_to_begin_with() -> None:
    assert bias(replace(ONCE, keeps_rows=True)) < bias(ONCE) / 10.0


def test_windows_that_all_fit_into_take_a_fifth_of_the_jitter_of_asynchrony() -> None:
    calm, plain = (jitter(seen(weighed(it, IntervalAverage.FEDFIX))) for it in (ALL_FIT, ONCE))
    assert calm < plain / 5.0


def test_the_more_arrivals_the_less_jitter() -> None:
    jitters = [
        jitter(seen(weighed(it, IntervalAverage.FEDFIX)))
        for it in (ONCE, buffers(3), buffers(6), buffers(9))
    ]
    assert all(fewer > more for fewer, more in pairwise(jitters))
    assert jitters[2] < 0.7 * jitters[0]


# FedAU ---------------------------------------------------------------------------------------


def seldom(participation: ParticipationConfig | None) -> tuple[Setting, list[float]]:
    """Return peers of which those with large targets are seldom there, and how often they are."""
    generator = random.Random(2)
    availability = [1.0 - 0.09 * number for number in range(COUNT)]
    setting = Setting(
        targets=TARGETS,
        train_s=[1.0] * COUNT,
        is_up=lambda peer: generator.random() < availability[peer],
        participation=participation,
    )
    return setting, availability


FEDAU = ParticipationConfig(average=IntervalAverage.FEDAU, weight_max=10.0, interval_max=20)


def test_fedau_weights_are_those_of_unknown_availabilities() -> None:
    setting, availability = seldom(FEDAU)
    run = Quadratics(setting)
    run.run(SECONDS)
    assert correlation(run.importances(0), [1.0 / it for it in availability[1:]]) > 0.9


def test_fedau_lowers_the_mean_loss_of_all() -> None:
    losses = []
    for participation in (None, FEDAU):
        setting, _ = seldom(participation)
        reached = mean(seen(setting))
        losses.append(fmean((target - reached) ** 2 for target in TARGETS))
    least = fmean(target**2 for target in TARGETS)
    assert losses[1] - least < 0.1 * (losses[0] - least)
