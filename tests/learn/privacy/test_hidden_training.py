"""Training that is hidden: what is left in the learner, and what leaves the peer, if it fails."""

import pytest
import torch
from torch import Tensor

from p2pfed.config.files import parse
from p2pfed.config.learning import assemble_learner
from p2pfed.identity import Identity
from p2pfed.learn.hidden_training import HiddenTraining
from p2pfed.learn.learner import JobCancelled, TrainingDiverged, TrainingReport
from p2pfed.learn.ledger_privacy import HiddenChanges
from p2pfed.learn.privacy.guard import PrivateReleases
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.learn.workbench import Workbench
from p2pfed.updates.specification import ParameterEntry, ParameterSpecification
from p2pfed.wire.payload import decode_payload
from tests.learn.peers import integration, training

SIZE = 8
FAR = 1e6  # where private steps lead, far beyond clip and noise
FAILURES = pytest.mark.parametrize(
    "failure", [JobCancelled("stopped"), RuntimeError("out of memory"), KeyboardInterrupt()]
)


class Careless:
    """A learner that keeps none of its promises: it moves first and fails then.

    Attributes:
        failure: What its next rounds end with.
        refusals: So many calls of `load_vector` fail.
    """

    specification = ParameterSpecification([ParameterEntry(name="w", shape=(SIZE,))])
    example_count = 100

    def __init__(self) -> None:
        self.own = torch.zeros(SIZE)
        self.failure: BaseException | None = None
        self.refusals = 0

    def vector(self) -> Tensor:
        return self.own  # no copy

    def load_vector(self, vector: Tensor) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("out of memory")
        self.own = vector

    def train(self, round: int, *, should_stop: object) -> TrainingReport:
        del round, should_stop
        self.own += FAR
        if self.failure is not None:
            raise self.failure
        return TrainingReport(loss=0.0, examples=1)

    def evaluate(self, split: str, *, should_stop: object) -> tuple[float, float]:
        del split, should_stop
        return 0.0, 0.0

    def state(self) -> dict[str, Tensor]:
        return {"w": self.own.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.own = state["w"]


def never() -> bool:
    return False


def fail_to_hide(before: Tensor, after: Tensor) -> Tensor:
    del before, after
    raise RuntimeError("no noise")


def make(learner: Careless) -> Workbench:
    table = {"enabled": True, "mechanism": "per-release", "noise_multiplier": 20.0}
    config = parse({"run": {"task": "own"}, "privacy": table})
    bench = assemble_learner(config, Identity(bytes([7]) * 32), learner).bench
    assert isinstance(bench, Workbench)
    return bench


def published(bench: Workbench, *, train: bool = True) -> Tensor:
    payload = bench.train(training(1, train=train)).payload
    main = decode_payload(payload, section_bytes_max={"main": 1 << 20}).main
    return bench.exchange.codec.decode(main, SIZE)


@FAILURES
def test_a_round_that_fails_halfway_is_published_by_no_later_one(failure: BaseException) -> None:
    learner = Careless()
    bench = make(learner)
    learner.failure = failure
    with pytest.raises(type(failure)):
        bench.train(training())
    assert float(published(bench, train=False).norm()) == 0.0
    learner.failure = None
    assert float(published(bench).norm()) < 1e3


@FAILURES
def test_a_round_that_fails_halfway_is_not_saved(failure: BaseException) -> None:
    learner = Careless()
    bench = make(learner)
    learner.failure = failure
    with pytest.raises(type(failure)):
        bench.train(training())
    learner.failure = None
    restored = make(Careless())
    restored.load(bench.save())
    assert float(published(restored).norm()) < 1e3


@pytest.mark.parametrize("job", ["integrate", "save", "digest", "train"])
def test_a_learner_that_could_not_go_back_does_so_before_any_other_job(job: str) -> None:
    learner = Careless()
    bench = make(learner)
    learner.failure, learner.refusals = RuntimeError("out of memory"), 1
    with pytest.raises(RuntimeError):
        bench.train(training())
    assert float(learner.own.norm()) > FAR  # nothing could be done
    calls = {
        "integrate": lambda: bench.integrate(integration({}), lambda _: b""),
        "save": bench.save,
        "digest": bench.digest,
        "train": lambda: bench.train(training(train=False)),
    }
    calls[job]()
    assert float(learner.own.norm()) == 0.0


def test_a_change_is_measured_from_before_it_where_a_learner_hands_out_its_memory() -> None:
    seen = []

    def hide(before: Tensor, after: Tensor) -> Tensor:
        seen.append(float((after - before).norm()))
        return before

    HiddenTraining(Careless(), hide).train(0, should_stop=never)
    assert seen[0] > FAR


@pytest.mark.parametrize("wrap", [HiddenTraining, HiddenChanges])
def test_what_was_to_be_hidden_is_gone_even_if_hiding_fails(
    wrap: type[HiddenTraining] | type[HiddenChanges],
) -> None:
    learner = Careless()
    with pytest.raises(RuntimeError, match="no noise"):
        wrap(learner, fail_to_hide).train(0, should_stop=never)
    assert torch.equal(learner.own, torch.zeros(SIZE))


@FAILURES
def test_a_ledgers_learner_goes_back_if_its_round_fails(failure: BaseException) -> None:
    learner = Careless()
    learner.failure = failure
    with pytest.raises(type(failure)):
        HiddenChanges(learner, fail_to_hide).train(0, should_stop=never)
    assert torch.equal(learner.own, torch.zeros(SIZE))


def test_a_divergence_may_be_the_fault_of_the_noise() -> None:
    learner = Careless()
    learner.failure = TrainingDiverged("training of round 3 diverged; lower the rate")
    with pytest.raises(TrainingDiverged, match=r"lower the rate; or noise .* privacy\.clip_norm"):
        HiddenTraining(learner, lambda before, _: before).train(3, should_stop=lambda: False)
    assert torch.equal(learner.own, torch.zeros(SIZE))


def test_the_noise_on_a_round_is_longer_by_the_root_of_the_number_of_values() -> None:
    for size in (100, 10_000):
        numbers = SecretNumbers.derive(bytes(32))
        releases = PrivateReleases(clip_norm=0.5, noise_multiplier=4.0, numbers=numbers)
        unchanged = torch.zeros(size)
        length = float(releases.hide(unchanged, unchanged).norm())
        assert length == pytest.approx(4.0 * 0.5 * size**0.5, rel=0.15)
