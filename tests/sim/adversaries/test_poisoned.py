"""Attacks on the data of single peers: what they train on, in both fidelities."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import sim
import sim.rounds
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.errors import ConfigError
from p2pfed.learn.digits import digits
from p2pfed.learn.examples import Examples
from p2pfed.learn.task import Task
from sim.adversaries.attacks import create_data_attack, data_attack_names
from sim.adversaries.poisoned import Poisoned
from sim.in_rounds.translation import rounds_config
from sim.scenario import load_scenario
from sim.watching import Watcher

LIAR = 0
NEAR, FAR = (1, 5), (2, 3, 4)  # in a ring, after a round

PARAMS: dict[str, dict[str, Any]] = {
    "backdoor": {"positions": [62, 63], "target": 3, "value": 16.0},
    "mirror-labels": {"class_count": 10},
    "relabel": {"source": 1, "target": 7},
    "shift-labels": {"class_count": 10},
    "swap-labels": {"first": 2, "second": 3},
}


def scenario(*adversaries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "run": {"task": "digits"},
        "training": {"steps_per_round": 5, "threads": 1, "device": "cpu"},
        "integration": {"rule": "mean", "norm_cap_ratio": "off"},
        "schedule": {"mode": "synchronous", "rounds_max": 1},
        "compute": {"jobs": "sequential"},
        "topology": {"name": "ring", "nodes": 6},
        "adversaries": list(adversaries),
        **fields,
    }


def lie(kind: str) -> dict[str, Any]:
    return {"peer": LIAR, "kind": kind, **PARAMS[kind]}


def test_every_attack_on_data_is_tried_here() -> None:
    assert set(PARAMS) == set(data_attack_names())


class Tasks(Watcher):
    """Keeps the rows that each peer trains on."""

    def __init__(self) -> None:
        self.rows: dict[int, Examples] = {}

    def event_handled(self, host: Any, event: Event, effects: list[Effect]) -> None:
        del event, effects
        if host.bench is not None and host.index not in self.rows:
            found = host.bench.learner.task.rows("train")
            self.rows[host.index] = found.batch(torch.arange(len(found)))


@pytest.mark.parametrize("kind", sorted(PARAMS))
def test_a_liar_trains_on_other_rows_and_nobody_else_does(kind: str) -> None:
    honest, lied = Tasks(), Tasks()
    plain = sim.run(scenario(), watchers=[honest])
    result = sim.run(scenario(lie(kind)), watchers=[lied])
    attack = create_data_attack(kind, **PARAMS[kind])
    own = honest.rows[LIAR]
    inputs, labels = attack(own.inputs, own.labels)
    assert not (torch.equal(inputs, own.inputs) and torch.equal(labels, own.labels))
    assert torch.equal(lied.rows[LIAR].inputs, inputs)
    assert torch.equal(lied.rows[LIAR].labels, labels)
    for peer in (*NEAR, *FAR):
        assert torch.equal(lied.rows[peer].inputs, honest.rows[peer].inputs)
        assert torch.equal(lied.rows[peer].labels, honest.rows[peer].labels)
    assert result.peers[LIAR].hostile == kind
    assert result.rows_used["hostile"] == len(NEAR)
    for peer in (LIAR, *NEAR):
        assert result.model_digests[peer] != plain.model_digests[peer]
    for peer in FAR:
        assert result.model_digests[peer] == plain.model_digests[peer]


@pytest.mark.parametrize("kind", sorted(PARAMS))
def test_rounds_have_the_same_lies(kind: str) -> None:
    messages = sim.run(scenario(lie(kind)))
    in_rounds = load_scenario(scenario(lie(kind), fidelity="rounds"))
    played = sim.rounds.run(replace(rounds_config(in_rounds, seed=0), compute="sequential"))
    assert played.model_digests == {peer: messages.model_digests[peer] for peer in (*NEAR, *FAR)}


def test_peers_that_are_computed_at_once_learn_from_the_same_rows() -> None:
    one_by_one = sim.run(scenario(lie("mirror-labels")))
    at_once = sim.run(scenario(lie("mirror-labels"), compute={"jobs": "batched"}))
    for name in ("mean_accuracy", "worst_accuracy"):
        assert at_once.metrics[name] == pytest.approx(one_by_one.metrics[name], abs=1e-6)


@pytest.mark.parametrize(
    ("adversary", "field"),
    [
        ({"kind": "mirror-labels"}, "adversaries.0.class_count"),
        ({"kind": "relabel", "source": 1, "target": 1}, "adversaries.0.target"),
        ({"kind": "backdoor", "positions": [0], "ratio": 2.0}, "adversaries.0.ratio"),
        ({"kind": "swap-labels", "third": 2}, "adversaries.0.third"),
        ({"kind": "sleeper+swap-labels"}, "adversaries.0.kind"),
    ],
)
def test_what_cannot_be_used_is_named(adversary: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(scenario({"peer": LIAR, **adversary}))
    assert caught.value.field == field


def test_rows_with_named_inputs_are_refused() -> None:
    named = Examples({"pixels": torch.zeros(3, 64)}, torch.zeros(3, dtype=torch.int64))
    task: Task = replace(digits(), train=named)
    with pytest.raises(ConfigError, match=r"adversaries\.kind = 'SwapLabels': .*named inputs"):
        Poisoned(create_data_attack("swap-labels")).task(task)


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
@pytest.mark.parametrize("count", [9, 11])
def test_labels_that_the_task_has_not_are_refused(fidelity: str, count: int) -> None:
    wrong = {"peer": LIAR, "kind": "mirror-labels", "class_count": count}
    with pytest.raises(ConfigError, match=r"makes labels that the task has not; .* for 0 to 9"):
        sim.run(scenario(wrong, fidelity=fidelity))
