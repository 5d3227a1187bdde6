"""Computes many jobs at once, where they are alike."""

from typing import final

from typing_extensions import override

from p2pfed.core.effects import StartIntegration, StartTraining
from p2pfed.learn.workbench import Workbench
from sim.benches import Bench, IntegrationOutcome, LoadPayload, TrainingOutcome
from sim.compute.calculator import Calculation, Calculator, WhenDue
from sim.compute.integrations import Integrations
from sim.compute.stacked import Families
from sim.compute.trainings import Trainings


@final
class Batched(Calculator):
    """Computes jobs that have started and are alike, a thousand at most, when the first is due.

    What is in no batch is done as by `Sequential`: jobs of ledgers and of applications' learners,
    of peers that keep their rows private, of large models, of models that keep running statistics
    or that `torch.func.vmap` cannot map, and jobs that are alone of their kind. So are integrations
    with more to do than a `CrowdRule` does: with inner products of a method's own, prioritizers,
    ledgers of reputation, outer steps, public copies, or rows that may be rejected. As long as they
    change nothing but the model, the models that they lead to are evaluated at once all the same.

    In a world of several parts none of them waits for the others while these compute: all do what
    has started of a kind in the step in which the first job of it is due in any part.

    Results differ from those of `Sequential` by the rounding of batched sums. They follow from
    the scenario and the seed alone: which jobs are in a batch is decided in virtual time.
    """

    def __init__(self) -> None:
        self._families = Families()
        self._trainings = Trainings(self._families)
        self._integrations = Integrations(self._families)
        self._kinds = (self._trainings.started, self._integrations.started)

    @override
    def training(self, bench: Bench, effect: StartTraining) -> Calculation[TrainingOutcome]:
        if isinstance(bench, Workbench):
            begun = self._trainings.begin(bench, effect)
            if begun is not None:
                return begun
        return WhenDue(lambda: bench.train(effect))

    @override
    def integration(
        self, bench: Bench, effect: StartIntegration, load_payload: LoadPayload
    ) -> Calculation[IntegrationOutcome]:
        if isinstance(bench, Workbench):
            begun = self._integrations.begin(bench, effect, load_payload)
            if begun is not None:
                return begun
        return WhenDue(lambda: bench.integrate(effect, load_payload))

    @override
    def first_ends_ns(self) -> tuple[int | None, ...]:
        return tuple(it.first_end_ns() for it in self._kinds)

    @override
    def compute(self, kind: int) -> None:
        self._kinds[kind].compute()
