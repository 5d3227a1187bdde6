"""Jobs that wait to be computed together: when the first ends, and what is computed before that."""

from collections.abc import Sequence
from dataclasses import dataclass

from sim.compute.gathering import Gathering


@dataclass(frozen=True, eq=False)
class Job:
    name: str
    shape: str = "alike"
    is_left_out: bool = False


class Computed:
    """Keeps which jobs were computed together."""

    def __init__(self, together_max: int = 100) -> None:
        self.stacks: list[str] = []
        self.gathering: Gathering[Job, str] = Gathering(self._compute, together_max)

    def _compute(self, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
        self.stacks.append("".join(job.name for job in jobs))
        return [(job, f"found {job.name}") for job in jobs if not job.is_left_out]

    def start(self, job: Job, end_ns: int) -> Job:
        self.gathering.add(job)
        self.gathering.expect(job, end_ns)
        return job


def test_all_that_have_started_are_computed_when_one_is_due() -> None:
    computed = Computed()
    first, second = computed.start(Job("a"), 30), computed.start(Job("b"), 20)
    computed.start(Job("c", "other"), 10)
    assert computed.gathering.take(second) == "found b"
    assert computed.gathering.take(first) == "found a"
    assert computed.stacks == ["ab"]


def test_of_many_those_that_end_first_are_computed_and_the_others_when_one_is_due() -> None:
    computed = Computed(together_max=2)
    jobs = [computed.start(Job(name), end) for name, end in (("a", 30), ("b", 20), ("c", 10))]
    assert computed.gathering.take(jobs[2]) == "found c"
    assert computed.gathering.first_end_ns() == 30
    assert computed.stacks == ["cb"]
    assert [computed.gathering.take(it) for it in reversed(jobs[:2])] == ["found b", "found a"]
    assert computed.stacks == ["cb", "a"]


def test_a_job_that_was_left_out_early_is_among_those_computed_when_it_is_due() -> None:
    computed = Computed(together_max=2)
    left_out = computed.start(Job("a", is_left_out=True), 10)
    computed.gathering.compute()
    for name in "bcd":
        computed.start(Job(name), 20)
    assert computed.gathering.take(left_out) is None
    assert computed.stacks == ["a", "ab"]


def test_the_first_end_is_of_what_has_yet_to_be_computed() -> None:
    computed = Computed()
    assert computed.gathering.first_end_ns() is None
    computed.start(Job("a"), 30)
    second = computed.start(Job("b"), 20)
    assert computed.gathering.first_end_ns() == 20
    computed.gathering.drop(second)
    assert computed.gathering.first_end_ns() == 30
    computed.gathering.compute()
    assert computed.gathering.first_end_ns() is None
    computed.start(Job("c"), 40)
    assert computed.gathering.first_end_ns() == 40


def test_what_is_computed_early_is_found_when_it_is_due() -> None:
    computed = Computed()
    first, other = computed.start(Job("a"), 30), computed.start(Job("b", "other"), 20)
    computed.gathering.compute()
    later = computed.start(Job("c"), 40)
    assert [computed.gathering.take(it) for it in (other, first, later)] == [
        "found b",
        "found a",
        "found c",
    ]
    assert computed.stacks == ["a", "b", "c"]


def test_what_is_left_out_early_is_asked_for_when_it_is_due_and_not_before() -> None:
    computed = Computed()
    left_out = computed.start(Job("a", is_left_out=True), 20)
    computed.gathering.compute()
    assert computed.gathering.first_end_ns() is None
    computed.gathering.compute()
    assert computed.stacks == ["a"]
    assert computed.gathering.take(left_out) is None
    assert computed.stacks == ["a", "a"]


def test_nothing_is_kept_of_jobs_that_are_over() -> None:
    computed = Computed()
    for number in range(100):
        job = computed.start(Job("a"), number)
        if number % 3 == 0:
            computed.gathering.compute()
        if number % 2:
            computed.gathering.take(job)
        else:
            computed.gathering.drop(job)
    kept = [it for it in vars(computed.gathering).values() if isinstance(it, dict)]
    assert len(kept) == 3
    assert not any(kept)
