"""A loss gate that could never measure a loss is refused when its peer is put together."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from p2pfed.config.assembly import core_config
from p2pfed.config.files import parse
from p2pfed.config.learning import adapt_model, assemble, assemble_learner
from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn.application import ApplicationLearner, Score
from tests.learn.peers import digits_task

IDENTITY = Identity(bytes(32))


def run_file(*, enabled: bool) -> RunConfig:
    return parse(
        {
            "run": {"task": "digits"},
            "integration": {"rule": "mean"},
            "reputation": {"enabled": enabled, "loss_gate": {"enabled": enabled}},
        }
    )


def application_learner(*, can_evaluate: bool) -> ApplicationLearner:
    def evaluate() -> Score:
        raise AssertionError("asked before the first round")

    return ApplicationLearner(
        adapt_model(run_file(enabled=True), nn.Linear(2, 2)),
        evaluate=evaluate if can_evaluate else None,
        example_count=1,
    )


def test_an_application_without_evaluate_is_refused() -> None:
    silent = application_learner(can_evaluate=False)
    with pytest.raises(ConfigError, match=r"reputation\.loss_gate\.enabled.* evaluate function"):
        assemble_learner(run_file(enabled=True), IDENTITY, silent)
    assemble_learner(run_file(enabled=False), IDENTITY, silent)
    assemble_learner(run_file(enabled=True), IDENTITY, application_learner(can_evaluate=True))


def test_a_task_without_validation_rows_is_refused() -> None:
    task = digits_task()
    blind = replace(task, validation=task.rows("train").subset(torch.tensor([], dtype=torch.int64)))
    with pytest.raises(ConfigError, match=r"reputation\.loss_gate\.enabled.* validation rows"):
        assemble(run_file(enabled=True), IDENTITY, task=blind)
    assemble(run_file(enabled=False), IDENTITY, task=blind)


@pytest.mark.parametrize(("enabled", "rows_max"), [(True, 7), (False, None)])
def test_the_core_knows_from_how_many_rows_on_the_prioritizer_works(
    enabled: bool, rows_max: int | None
) -> None:
    prioritizer = {"enabled": True, "model_count_max": 7} if enabled else {}
    config = parse({"integration": {"prioritizer": prioritizer}})
    made = assemble_learner(config, IDENTITY, application_learner(can_evaluate=True))
    assert core_config(config, made.agreement).prioritizer_rows_max == rows_max
