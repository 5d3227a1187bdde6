"""Neighborhoods, what liars know, and scores on held-out rows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import topologies
from p2pfed.errors import ConfigError
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.task import Task, accuracy, cross_entropy
from p2pfed.updates.methods import Full
from sim.adversaries.view import View
from sim.rounds.coalition import Coalition
from sim.rounds.config import RoundsConfig
from sim.rounds.model import HeldOutScores, Model
from sim.rounds.neighborhood import Neighborhood, mixing_rows, neighborhoods
from sim.rounds.population import never
from sim.rounds.threat import Threat, find_threat

Metric = Callable[[Any, Tensor], Tensor]

LIARS = (1, 4)


def places_of(topology: str, *, is_silent: bool = False, **params: Any) -> tuple[Neighborhood, ...]:
    net = topologies.create(topology, nodes=6, **params)
    return neighborhoods(
        net,
        LIARS,
        example_counts=[10] * 6,
        mixing="metropolis",
        silent=LIARS if is_silent else (),
    )


@pytest.mark.parametrize("topology", ["star", "ring", "line", "complete"])
def test_weights_are_the_mixing_matrix(topology: str) -> None:
    expected = torch.from_numpy(topologies.create(topology, nodes=6).mixing_matrix())
    assert torch.allclose(mixing_rows(places_of(topology), 6).double(), expected, atol=1e-7)


def test_neighborhoods_name_their_liars() -> None:
    place = places_of("ring")[0]
    assert (place.honest, place.liars) == ((5,), (1,))
    assert place.weights == {1: pytest.approx(1 / 3), 5: pytest.approx(1 / 3)}
    assert place.honest_weights().tolist() == pytest.approx([1 / 3, 1 / 3])
    assert place.byzantine_weight() == pytest.approx(1 / 3)
    silent = places_of("ring", is_silent=True)
    assert silent[0].liars == ()
    assert silent[0].weights == {5: pytest.approx(1 / 3)}  # the degree is still 2


class Spy:
    """An attack that remembers what it was shown."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def __call__(self, view: View) -> Tensor:
        self.views.append(view)
        return -view.own


def make_rows(seed: int) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))


def coalition(
    spy: Spy, *, is_agreed: bool = False, is_common: bool = False
) -> tuple[Coalition, tuple[Neighborhood, ...]]:
    places = places_of("complete")
    threat = Threat(
        attack=spy, is_agreed=is_agreed, is_common=is_common, is_silent=False, data_attack=None
    )
    return Coalition(dict.fromkeys(LIARS, threat), seed=0), places


def test_liars_see_the_targets_neighborhood() -> None:
    spy = Spy()
    liars, places = coalition(spy)
    published, before = make_rows(0), make_rows(1)
    sent = [
        liars.rows(places[2], published, before, round=round, rule=lambda rows: rows[0])
        for round in range(12)
    ]
    assert list(sent[0]) == [1, 4]
    assert torch.equal(sent[0][1], -published[1])
    assert torch.equal(sent[0][4], -published[4])
    view = spy.views[0]
    assert torch.equal(view.honest, published[[2, 0, 3, 5]])  # the target's own row first
    assert torch.equal(view.honest_before, before[[2, 0, 3, 5]])
    assert view.honest_weights.tolist() == pytest.approx([1 / 6] * 4)
    assert view.byzantine_weight == pytest.approx(2 / 6)
    assert (view.byzantine_count, view.round, view.history) == (2, 0, ())
    last = spy.views[-1]
    assert last.round == 11
    assert len(last.history) == 10  # a bound
    assert torch.equal(last.history[-1], view.honest.mean(dim=0))
    assert liars.rows(places_of("line")[3], published, before, round=0, rule=spy.views.append) == {
        4: pytest.approx(-published[4])
    }


def test_liars_remember_what_each_peer_published() -> None:
    spy = Spy()
    liars, places = coalition(spy)
    published = [make_rows(number) for number in range(12)]
    for number, rows in enumerate(published):
        for place in (places[2], places[5]):
            liars.rows(place, rows, rows, round=number, rule=lambda it: it[0])
    first, last = spy.views[0], spy.views[-1]  # of liar 1 about peer 2, of liar 4 about peer 5
    assert (first.own_history, first.honest_history) == ((), ())
    assert torch.equal(torch.stack(last.own_history), torch.stack(published[1:11])[:, 4])
    honest = torch.stack([torch.stack(rows) for rows in last.honest_history])
    assert torch.equal(honest, torch.stack(published[1:11])[:, [5, 0, 2, 3]])


def test_liars_that_agree_send_one_row() -> None:
    spy = Spy()
    liars, places = coalition(spy, is_agreed=True)
    rows = make_rows(0)
    sent = liars.rows(places[2], rows, rows, round=0, rule=lambda rows: rows[0])
    assert len(spy.views) == 1
    assert torch.equal(sent[1], sent[4])


def test_what_a_liar_sends_to_all_is_asked_for_once_in_an_exchange() -> None:
    spy = Spy()
    liars, places = coalition(spy, is_common=True)
    for exchange in range(2):
        rows = make_rows(exchange)
        for place in (places[2], places[5]):
            sent = liars.rows(place, rows, rows, round=0, rule=lambda rows: rows[0])
            assert torch.equal(sent[1], -rows[1])
            assert torch.equal(sent[4], -rows[4])
        assert len(spy.views) == 2 * (exchange + 1)


@pytest.mark.parametrize(
    ("attack", "params"),
    [
        ("scaling", {}),
        ("sign-flip", {}),
        ("sleeper", {"first_round": 2}),
        ("stale-own", {}),
        ("zero", {}),
    ],
)
def test_what_goes_to_all_is_what_each_target_would_get(
    attack: str, params: dict[str, Any]
) -> None:
    threat = find_threat(attack, params, None, {})
    assert threat.is_common
    to_all = Coalition(dict.fromkeys(LIARS, threat), seed=0)
    to_each = Coalition(dict.fromkeys(LIARS, replace(threat, is_common=False)), seed=0)
    places = places_of("complete")
    for round in range(4):
        rows = make_rows(round)
        for place in (places[0], places[3], places[5]):
            sent, expected = (
                it.rows(place, rows, rows, round=round, rule=lambda it: it[0])
                for it in (to_all, to_each)
            )
            assert sent.keys() == expected.keys()
            assert all(torch.equal(sent[number], expected[number]) for number in sent)


@pytest.mark.parametrize(
    ("attack", "params"),
    [("sign-flip", {"of": "mean"}), ("alie", {}), ("sybil", {}), ("noise", {})],
)
def test_lies_that_look_at_the_target_or_are_drawn_are_made_for_each(
    attack: str, params: dict[str, Any]
) -> None:
    assert not find_threat(attack, params, None, {}).is_common


def test_liars_mix_what_all_would_publish() -> None:
    places = places_of("complete")
    rows = make_rows(0)
    mixed = mixing_rows([places[number] for number in LIARS], 6) @ rows
    assert torch.allclose(mixed, rows.mean(dim=0).expand(2, 3), atol=1e-6)


@pytest.mark.parametrize("metric", [accuracy, lambda outputs, labels: accuracy(outputs, labels)])
def test_held_out_scores_are_those_of_a_real_learner(blobs: Task, metric: Metric) -> None:
    own = torch.nonzero(blobs.rows("train").labels <= 2).flatten()
    task = replace(blobs, train=blobs.rows("train").subset(own), metric=metric)
    learner = TaskLearner(task, Full(), plan=Plan(), seed=0, peer="a")
    learner.train(0, should_stop=never)
    expected = learner.shard_scores(should_stop=never)
    assert len(expected) == (3 if metric is accuracy else 1)
    assert min(expected) > 0.0
    scores = HeldOutScores(Model(learner.adapted), task)
    assert scores(learner.vector()) == pytest.approx(expected)


def test_a_vector_scores_as_its_model_does(blobs: Task) -> None:
    adapted = Full().adapt(blobs.create_model(), seed=0)
    rows = blobs.rows("test").batch(torch.arange(400))
    assert isinstance(rows.inputs, Tensor)
    expected = float(blobs.metric(adapted.model(rows.inputs), rows.labels))
    assert Model(adapted).score(adapted.vector(), blobs, rows) == expected


def test_a_task_that_writes_to_its_rows_reaches_no_other_peers_scores(blobs: Task) -> None:
    def metric(outputs: Any, labels: Tensor) -> Tensor:
        found = accuracy(outputs, labels)
        labels.zero_()
        return found

    def loss(outputs: Any, labels: Tensor) -> Tensor:
        found = cross_entropy(outputs, labels)
        labels.zero_()
        return found

    task = replace(blobs, metric=metric, loss=loss)
    adapted = Full().adapt(nn.Sequential(nn.ReLU(inplace=True), blobs.create_model()), seed=0)
    model, vector = Model(adapted), adapted.vector()
    rows, asked = (task.rows("test").batch(torch.arange(400)) for _ in range(2))
    for _ in range(2):
        assert model.measure(vector, task, asked) == model.measure(vector, blobs, rows)
        assert model.score(vector, task, asked) == model.score(vector, blobs, rows)
        assert model.loss(vector, task, asked) == model.loss(vector, blobs, rows)
    fresh = task.rows("test").batch(torch.arange(400))
    assert torch.equal(torch.as_tensor(asked.inputs), torch.as_tensor(fresh.inputs))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"attack": "zero"}, "rounds.attack = 'zero': say who lies by liars or liar_indices"),
        ({"attack": "silent"}, "rounds.attack = 'silent': say who lies"),
        ({"attack": len}, "rounds.attack = 'len': say who lies"),
        ({"data_attack": "relabel"}, "rounds.data_attack = 'relabel': say who lies"),
    ],
)
def test_an_attack_without_a_word_on_liars_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RoundsConfig(**fields)
    assert str(caught.value).startswith(said)
    # Where their number is varied, none of them is the beginning.
    assert RoundsConfig(**fields, liars=0).place_liars() == ()


def test_too_many_liars_are_told_as_they_were_given() -> None:
    with pytest.raises(ConfigError, match=r"rounds\.liars = 9: "):
        RoundsConfig(liars=9, attack="zero", peers=6)
