"""Small peers for tests: a digits learner or workbench, and one neighbor's update."""

from collections.abc import Callable
from functools import cache

import torch
from msgspec.structs import replace
from torch import Tensor

import robust
from p2pfed.core.effects import IntegrationRow, StartIntegration, StartTraining
from p2pfed.identity import PeerId
from p2pfed.learn.decoded import DecodeCache
from p2pfed.learn.examples import Examples
from p2pfed.learn.jobs import unchanged
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.steps import AdamW, StepRule
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from p2pfed.learn.workbench import Exchange, Workbench
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import Float32
from p2pfed.updates.methods import Full
from p2pfed.wire.hashes import content_hash

MEAN = robust.Integrator("mean", norm_cap_ratio=None)


@cache
def digits_task() -> Task:
    return load_task("digits")


def make_learner(
    peer: str = "a", *, task: Task | None = None, rule: StepRule | None = None, steps: int = 3
) -> TaskLearner:
    plan = Plan(step_rule=rule or AdamW(learning_rate=0.01), steps_per_round=steps, batch_size=16)
    return TaskLearner(task or digits_task(), Full(), plan=plan, seed=1, peer=peer, probe_secret=5)


def make_bench(
    peer: str = "a",
    *,
    codec: Codec | None = None,
    integrator: robust.Integrator = MEAN,
    mixing: str = "metropolis",
    before_publish: Callable[[Tensor], Tensor] = unchanged,
    cache: DecodeCache | None = None,
) -> Workbench:
    exchange = Exchange(
        method="full",
        codec=codec or Float32(),
        integrator=integrator,
        mixing=mixing,
        before_publish=before_publish,
    )
    return Workbench(make_learner(peer), exchange, cache=cache)


def training(round: int = 0, *, degree: int = 2, train: bool = True) -> StartTraining:
    return StartTraining(job=1, round=round, train=train, degree=degree)


def integration(
    headers: dict[PeerId, UpdateHeader],
    *,
    degree: int = 2,
    evaluate: bool = False,
    test: bool = False,
) -> StartIntegration:
    rows = tuple(
        IntegrationRow(peer=peer, header=headers[peer], staleness=0) for peer in sorted(headers)
    )
    return StartIntegration(job=2, round=0, rows=rows, degree=degree, evaluate=evaluate, test=test)


def make_peer(index: int) -> PeerId:
    return PeerId(bytes([index]) * 32)


def make_header(payload: bytes, *, author: int = 1, codec: str = "float32") -> UpdateHeader:
    return UpdateHeader(
        run_id=bytes(32),
        author=make_peer(author),
        incarnation=1,
        sequence=1,
        previous=bytes(32),
        kind=UpdateKind.FULL,
        base=0,
        round=0,
        gossip_step=1,
        method="full",
        codec=codec,
        payload_bytes=len(payload),
        payload_hash=content_hash(payload),
    )


def other_header(header: UpdateHeader, **changes: object) -> UpdateHeader:
    return replace(header, **changes)  # type: ignore[arg-type]


def make_examples(count: int, *, size: int = 4, classes: int = 2) -> Examples:
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn(count, size, generator=generator)
    return Examples(inputs, (inputs.sum(dim=1) > 0).long() % classes)
