"""What rules that look at held-out data see in real peers, made of run files."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score

import robust
import sim
from p2pfed.config.learning import Assembly, assemble, assemble_learner
from p2pfed.config.model import RunConfig
from p2pfed.identity import Identity
from p2pfed.learn.learner import ShouldStop, TaskLearner
from p2pfed.learn.task import Task
from sim.scenario import load_scenario
from tests.sim.by_hand import PeersByHand

pytestmark = pytest.mark.slow

NODES = 6
ROUNDS = 3
CLASSES = 10


def scenario(**integration: Any) -> dict[str, Any]:
    """Return six peers that all know each other, each with few classes of digits."""
    return {
        "run": {"task": "digits"},
        "share": {"name": "dirichlet", "alpha": 0.3},
        "training": {
            "steps_per_round": 4,
            "threads": 1,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": 0.1},
        },
        "integration": integration,
        "schedule": {"mode": "synchronous", "rounds_max": ROUNDS},
        "topology": {"name": "complete", "nodes": NODES},
        "compute": {"jobs": "sequential"},
    }


class Listening:
    """A learner that remembers which scores it gave, and is another one in all else."""

    def __init__(self, learner: TaskLearner) -> None:
        self.learner = learner
        self.given: list[Sequence[float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def shard_scores(self, *, should_stop: ShouldStop) -> Sequence[float]:
        scores = self.learner.shard_scores(should_stop=should_stop)
        self.given.append(scores)
        return scores


def assemble_listening(config: RunConfig, identity: Identity) -> Assembly:
    learner = assemble(config, identity).bench.learner
    assert isinstance(learner, TaskLearner)
    return assemble_learner(config, identity, Listening(learner))


def familiar_classes(task: Task) -> list[int]:
    counts = Counter(task.rows("train").labels.tolist())
    return sorted(number for number, count in counts.items() if count >= 10)


def test_bristle_gets_a_score_for_each_class_that_a_peer_knows() -> None:
    checked = load_scenario(scenario(rule="bristle", norm_cap_ratio="off"))
    peers = PeersByHand(checked, seed=2, make=assemble_listening)
    for number in range(ROUNDS):
        peers.play(number)
    learners = [bench.learner for bench in peers.benches]
    known = [len(familiar_classes(learner.task)) for learner in learners]
    assert min(known) > 1
    assert max(known) < CLASSES
    assert len(set(known)) > 1
    for learner, count in zip(learners, known, strict=True):
        assert {len(scores) for scores in learner.given} == {count}
        assert len(learner.given) == ROUNDS * NODES  # its own model and those of five neighbors


def test_scores_of_a_run_file_are_those_of_another_program() -> None:
    peers = PeersByHand(load_scenario(scenario(rule="bristle")), seed=2)
    for number in range(ROUNDS):
        peers.play(number)
    for assembly in peers.assemblies:
        task, bench = assembly.task, assembly.bench
        assert task is not None
        learner = bench.learner
        assert isinstance(learner, TaskLearner)
        known = familiar_classes(task)
        held_out = task.rows("validation")
        rows = held_out.subset(
            torch.nonzero(torch.isin(held_out.labels, torch.tensor(known)))[:, 0]
        )
        batch = rows.batch(torch.arange(len(rows)))
        predicted = learner.adapted.model(batch.inputs).argmax(dim=1)
        expected = f1_score(batch.labels, predicted, labels=known, average=None, zero_division=0.0)
        evaluate = bench.exchange.integrator.evaluate
        assert evaluate is not None
        scores = evaluate(learner.vector() - bench.initial)
        assert scores == pytest.approx(expected.tolist())
        assert len(set(scores)) > 1


def test_prioritizer_of_a_run_file_passes_neighbors_over() -> None:
    table = {"enabled": True, "model_count_max": 2}  # one near, one of the middle
    checked = load_scenario(scenario(rule="bristle", norm_cap_ratio="off", prioritizer=table))
    peers = PeersByHand(checked, seed=2, make=assemble_listening)
    used: dict[int, list[tuple[bytes, ...]]] = {index: [] for index in range(NODES)}
    for number in range(ROUNDS):
        for index, outcome in enumerate(peers.play(number)):
            passed_over = [it for it in outcome.verdicts if it.reason == "not-prioritized"]
            assert len(passed_over) == 3
            assert all(it.weight == 0.0 for it in passed_over)
            scored = [it for it in outcome.verdicts if it not in passed_over]
            assert {it.reason for it in scored} <= {"", "not-chosen"}
            used[index].append(tuple(it.peer for it in scored))
    for bench in peers.benches:
        assert len(bench.learner.given) == ROUNDS * (1 + 2)
    assert any(len(set(drawn)) > 1 for drawn in used.values())
    # A network, a protocol and virtual time change nothing.
    assert peers.digests() == sim.run(checked, seed=2).model_digests


@pytest.mark.parametrize("table", [{}, {"enabled": False}])
def test_without_enabling_it_there_is_no_prioritizer(table: dict[str, Any]) -> None:
    checked = load_scenario(scenario(prioritizer=table))
    peers = PeersByHand(checked, seed=2)
    assert all(bench.exchange.integrator.prioritizer is None for bench in peers.benches)
    reasons = {verdict.reason for outcome in peers.play(0) for verdict in outcome.verdicts}
    assert "not-prioritized" not in reasons


def test_what_a_run_file_says_reaches_the_prioritizer() -> None:
    table = {
        "enabled": True,
        "model_count_max": 7,
        "exploration_ratio": 0.25,
        "draw": "nearest",
    }
    peers = PeersByHand(load_scenario(scenario(prioritizer=table)), seed=2)
    found = [bench.exchange.integrator for bench in peers.benches]
    for integrator in found:
        prioritizer = integrator.prioritizer
        assert isinstance(prioritizer, robust.DistancePrioritizer)
        assert prioritizer.model_count_max == 7
        assert prioritizer.exploration_ratio == 0.25
        assert prioritizer.draw == "nearest"
    seeds = [integrator.seed for integrator in found]
    seeds += [integrator.prioritizer.seed for integrator in found]
    assert len(set(seeds)) == 2 * NODES
