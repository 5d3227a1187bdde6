"""The jobs of one simulated peer: one after the other, canceled, forgotten."""

import random
from itertools import pairwise

import pytest

from p2pfed.core.effects import StartIntegration, StartTraining, StartValidation
from p2pfed.core.events import (
    Event,
    IntegrationFinished,
    JobFailed,
    TrainingFinished,
    ValidationFinished,
)
from p2pfed.identity import PeerId
from p2pfed.wire.hashes import content_hash
from sim.benches import StubBench
from sim.clock import Clock
from sim.compute.calculator import Sequential
from sim.jobs import ComputeModel, Workshop
from sim.payloads import PayloadPool, PayloadShelf
from tests.sim.by_hand import make_header

PAYLOAD = b"not a payload of a stub"


class Shop:
    """A workshop whose jobs take whole seconds, and what it answered when."""

    def __init__(self, *, jitter_ratio: float = 0.0) -> None:
        self.clock = Clock()
        self.answers: list[tuple[float, type[Event], int]] = []
        shelf = PayloadShelf(PayloadPool())
        shelf.put(content_hash(PAYLOAD), PAYLOAD)
        self.shop = Workshop(
            self.clock,
            StubBench(0),
            ComputeModel(
                training_s=10.0,
                integration_s=1.0,
                evaluation_s=2.0,
                validation_s=3.0,
                jitter_ratio=jitter_ratio,
            ),
            random.Random(0),
            calculator=Sequential(),
            answer=self._take,
            shelf=shelf,
        )

    def train(self, job: int, *, train: bool = True) -> None:
        self.shop.train(StartTraining(job=job, round=0, train=train, degree=1))

    def integrate(self, job: int, *, evaluate: bool = False, test: bool = False) -> None:
        self.shop.integrate(
            StartIntegration(job=job, round=0, rows=(), degree=1, evaluate=evaluate, test=test)
        )

    def validate(self, job: int) -> None:
        header = make_header(PeerId(bytes(32)), 0, PAYLOAD)
        self.shop.validate(StartValidation(job=job, update_id=bytes(32), header=header))

    def run(self) -> None:
        while self.clock.step():
            pass

    def _take(self, event: Event) -> None:
        self.answers.append((self.clock.now_s, type(event), event.job))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_jobs_run_one_after_the_other(shop: Shop) -> None:
    shop.train(1)
    shop.integrate(2)
    shop.train(3)
    shop.run()
    assert shop.answers == [
        (10.0, TrainingFinished, 1),
        (11.0, IntegrationFinished, 2),
        (21.0, TrainingFinished, 3),
    ]


def test_evaluations_take_time_of_their_own(shop: Shop) -> None:
    shop.integrate(1, evaluate=True)
    shop.integrate(2, test=True)  # on validation data as well
    shop.integrate(3, evaluate=True, test=True)
    shop.run()
    assert [at_s for at_s, _, _ in shop.answers] == [3.0, 8.0, 13.0]


def test_a_machine_of_twice_the_speed_takes_half_the_time(shop: Shop) -> None:
    shop.shop.speed_ratio = 2.0
    shop.train(1)
    shop.run()
    assert shop.answers == [(5.0, TrainingFinished, 1)]


def test_jobs_take_up_to_a_share_more_or_less() -> None:
    shop = Shop(jitter_ratio=0.5)
    for job in range(200):
        shop.train(job)
    shop.run()
    ends_s = [0.0, *(at_s for at_s, _, _ in shop.answers)]
    took_s = [end_s - begin_s for begin_s, end_s in pairwise(ends_s)]
    assert 5.0 < min(took_s) < 5.5
    assert 14.5 < max(took_s) < 15.0


def test_a_relay_encodes_at_once(shop: Shop) -> None:
    shop.train(1, train=False)
    shop.run()
    assert shop.answers == [(0.0, TrainingFinished, 1)]


def test_a_canceled_job_ends_soon_and_the_next_one_begins(shop: Shop) -> None:
    shop.train(1)
    shop.train(2)
    shop.clock.after(5.0, lambda: shop.shop.cancel(1))
    shop.run()
    assert shop.answers == [
        (pytest.approx(5.0, abs=0.1), JobFailed, 1),
        (pytest.approx(15.0, abs=0.1), TrainingFinished, 2),
    ]


def test_a_job_that_is_canceled_while_it_waits_does_nothing(shop: Shop) -> None:
    shop.train(1)
    shop.train(2)
    shop.shop.cancel(2)
    shop.run()
    assert shop.answers == [
        (10.0, TrainingFinished, 1),
        (pytest.approx(10.0, abs=0.1), JobFailed, 2),
    ]


def test_a_validation_waits_for_no_training(shop: Shop) -> None:
    shop.train(1)
    shop.validate(2)
    shop.run()
    assert shop.answers == [(3.0, ValidationFinished, 2), (10.0, TrainingFinished, 1)]


def test_a_process_that_ends_takes_its_jobs_along(shop: Shop) -> None:
    for job in (1, 2):
        shop.train(job)
        shop.validate(10 + job)
    shop.clock.after(1.0, shop.shop.clear)
    shop.clock.after(2.0, lambda: shop.train(3))
    shop.run()
    assert shop.answers == [(12.0, TrainingFinished, 3)]
