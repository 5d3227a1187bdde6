"""A private peer: what leaves it, what it counts, what it saves, and where it stops."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from p2pfed.config.files import parse
from p2pfed.config.learning import Assembly, assemble, assemble_learner
from p2pfed.errors import ConfigError, LocalError
from p2pfed.identity import Identity
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.learner import JobCancelled, TaskLearner, TrainingReport
from p2pfed.learn.privacy.accountant import Accountant, Budget, BudgetSpent, Gaussian
from p2pfed.learn.privacy.guard import PrivacyGuard, PrivateReleases
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from p2pfed.updates.methods.basis import gradient_basis, save_basis
from p2pfed.wire.payload import decode_payload
from tests.learn.peers import digits_task, integration, make_examples, training
from tests.learn.test_methods_in_runs import CONSTANTS, MIXING, codec_of

ENTROPY = bytes(32)
MECHANISM_NAMES = ("per-step", "per-release")
MECHANISMS = pytest.mark.parametrize("mechanism", MECHANISM_NAMES)
# Cheap enough for some rounds of each mechanism.
ROUNDS = {"per-step": {}, "per-release": {"noise_multiplier": 20.0}}
# With the defaults, as the digits' 1297 rows and batches of 32 have it.
THREE_ROUNDS = {"epsilon_max": 1.42}


def run_file(**tables: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "run": {"task": "digits", "seed": 3},
        "training": {"steps_per_round": 2, "device": "cpu"},
        "integration": {"rule": "mean"},
    }
    for name, table in tables.items():
        data[name] = {**data.get(name, {}), **table}
    return data


def make(
    mechanism: str = "per-step",
    *,
    task: Task | None = None,
    entropy: bytes | None = ENTROPY,
    privacy: dict[str, Any] | None = None,
    **tables: dict[str, Any],
) -> Assembly:
    table = {"enabled": True, "mechanism": mechanism, **ROUNDS[mechanism], **(privacy or {})}
    config = parse(run_file(privacy=table, **tables))
    identity = Identity(bytes([7]) * 32)
    return assemble(config, identity, task=task or digits_task(), entropy=entropy)


def releases(bench: Workbench) -> int:
    assert bench.privacy_spent is not None
    return bench.privacy_spent.releases


def change_in(assembly: Assembly) -> Tensor:
    """Train a round and return what it changed."""
    before = assembly.bench.learner.vector()
    assembly.bench.train(training())
    return assembly.bench.learner.vector() - before


# What leaves ---------------------------------------------------------------------------------


@MECHANISMS
def test_what_leaves_follows_from_entropy_and_not_from_the_runs_seed(mechanism: str) -> None:
    first, same, other = (
        change_in(make(mechanism, entropy=entropy)) for entropy in (ENTROPY, ENTROPY, b"1" * 32)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    # Without any given one it is never the same.
    fresh = [change_in(make(mechanism, entropy=None)) for _ in range(2)]
    assert not torch.equal(fresh[0], fresh[1])


def test_the_noise_of_a_step_has_the_promised_variance() -> None:
    # With a tiny clip the gradients are nothing beside the noise, and plain SGD shows it.
    sgd = {"name": "sgd", "learning_rate": 1.0}
    assembly = make(
        privacy={"clip_norm": 1e-3, "noise_multiplier": 4.0},
        training={"steps_per_round": 1, "batch_size": 32, "step_rule": sgd},
    )
    change = change_in(assembly)
    # The sum of at most all rows' gradients adds little in each of 2410 coordinates.
    assert float(change.std()) == pytest.approx(4.0 * 1e-3 / 32, rel=0.1)


def test_a_release_is_clipped_and_has_the_promised_noise() -> None:
    sgd = {"name": "sgd", "learning_rate": 50.0}  # steps far beyond the clip
    assembly = make("per-release", privacy={"clip_norm": 1e-3}, training={"step_rule": sgd})
    change = change_in(assembly)
    assert float(change.std()) == pytest.approx(20.0 * 1e-3, rel=0.05)


def test_a_release_of_replaced_rows_differs_by_twice_the_clip_at_most() -> None:
    changes = []
    for labels in (0, 1):
        rows = digits_task().rows("train").batch(torch.arange(200))
        task = replace(digits_task(), train=replace(rows, labels=torch.full((200,), labels)))
        changes.append(change_in(make("per-release", task=task, privacy={"clip_norm": 0.01})))
    # The same entropy: the noise is the same and cancels out.
    assert 0.0 < float((changes[0] - changes[1]).norm()) <= 2 * 0.01 * (1 + 1e-3)


def noise_of_a_program(steps: int) -> Tensor:
    """Return what a program publishes that says to have taken so many steps, to no effect."""
    assembly = make("per-release", training={"normal_steps": 6})
    assert isinstance(assembly.bench.learner, TaskLearner)
    learner = ApplicationLearner(assembly.bench.learner.adapted, evaluate=None, example_count=1)
    numbers = SecretNumbers.derive(ENTROPY)
    hidden = PrivateReleases(clip_norm=1.0, noise_multiplier=20.0, numbers=numbers)
    guard = PrivacyGuard(
        Accountant(Budget(epsilon_max=8.0, delta=1e-5)),
        hidden.gaussian,
        releases_per_round=1,
        releases=hidden,
    )
    bench = Workbench(learner, assembly.bench.exchange, privacy=guard)
    learner.submit(bench.initial, TrainingReport(loss=None, examples=1, steps=steps))
    bench.train(training())
    return learner.vector() - bench.initial


def test_noise_does_not_tell_how_many_steps_a_program_took() -> None:
    assert torch.equal(noise_of_a_program(2), noise_of_a_program(12))


@MECHANISMS
def test_the_own_vector_is_what_was_published(mechanism: str) -> None:
    assembly = make(mechanism)
    bench = assembly.bench
    payload = bench.train(training()).payload
    sections = decode_payload(payload, section_bytes_max={"main": 1 << 20})
    difference = bench.exchange.codec.decode(sections.main, bench.learner.specification.size)
    assert torch.equal(difference, bench.learner.vector() - bench.initial)


@MECHANISMS
def test_neighbors_are_not_told_how_many_rows_there_are(mechanism: str) -> None:
    payload = make(mechanism).bench.train(training(degree=4)).payload
    claims = decode_payload(payload, section_bytes_max={"main": 1 << 20}).claims
    assert claims == {"examples": 0, "degree": 4}


@pytest.mark.parametrize("name", MIXING)
def test_every_method_can_be_private(name: str) -> None:
    assembly = make(
        method={"name": name, **CONSTANTS[name]},
        codec={"name": codec_of(name)},
        integration={"rule": "rank-vote" if name.endswith("ranks") else "mean"},
    )
    change = change_in(assembly)
    assert bool(change.isfinite().all())
    assert float(change.norm()) > 0.0
    assert releases(assembly.bench) == 2


def test_a_loss_that_is_not_finite_ends_no_private_round() -> None:
    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs.sum() * float("nan") + labels.sum()

    outcome = make(task=replace(digits_task(), loss=loss)).bench.train(training())
    assert outcome.report.loss is None


# What is counted -----------------------------------------------------------------------------


def test_every_step_counts() -> None:
    bench = make(training={"batch_size": 64}).bench
    for _ in range(3):
        bench.train(training())
    accountant = Accountant(Budget(epsilon_max=100.0, delta=1e-5))
    rate = 64 / len(digits_task().rows("train"))
    step = Gaussian(noise_multiplier=1.0, sample_rate=rate)
    assert bench.privacy_spent is not None
    assert bench.privacy_spent.epsilon == accountant.epsilon(step, 6)
    assert bench.privacy_spent.epsilon_left == 8.0 - bench.privacy_spent.epsilon


def test_a_release_counts_with_half_its_noise() -> None:
    bench = make("per-release").bench
    bench.train(training())
    accountant = Accountant(Budget(epsilon_max=100.0, delta=1e-5))
    assert bench.privacy_spent is not None
    assert bench.privacy_spent.epsilon == accountant.epsilon(Gaussian(noise_multiplier=10.0), 1)


def test_a_relay_pays_nothing() -> None:
    bench = make().bench
    bench.train(training(train=False))
    assert releases(bench) == 0


def test_who_has_spent_its_budget_may_go_on_as_a_relay() -> None:
    bench = make(privacy=THREE_ROUNDS).bench
    spend(bench)
    relay = make(privacy={"epsilon_max": 1.0}, node={"role": "relay"}).bench
    relay.load(bench.save())
    relay.train(training(train=False))
    assert releases(relay) == releases(bench)


def test_a_canceled_round_counts() -> None:
    bench = make().bench
    before = bench.learner.vector()
    with pytest.raises(JobCancelled):
        bench.train(training(), lambda: True)
    assert torch.equal(bench.learner.vector(), before)
    assert releases(bench) == 2


def test_a_saved_round_is_counted_once() -> None:
    bench = make().bench
    bench.train(training())
    restored = make().bench
    restored.load(bench.save())  # as it is saved before anybody is told of the update
    assert releases(restored) == releases(bench) == 2
    assert torch.equal(restored.learner.vector(), bench.learner.vector())


def test_a_restart_counts_the_round_in_progress() -> None:
    bench = make().bench
    bench.train(training())
    bench.integrate(integration({}), no_payloads)
    saved = bench.save()
    bench.train(training())  # the process ends before this is saved
    restored = make().bench
    restored.load(saved)
    assert releases(restored) == releases(bench) == 4


def test_a_round_that_cannot_begin_is_not_counted_by_a_restart() -> None:
    bench = make(privacy=THREE_ROUNDS).bench
    assert spend(bench) == 3
    bench.integrate(integration({}), no_payloads)
    restored = make(privacy=THREE_ROUNDS).bench
    restored.load(bench.save())
    assert releases(restored) == releases(bench) == 6


def spend(bench: Workbench) -> int:
    """Train until the budget ends it, and return after how many rounds."""
    rounds = 0
    with suppress(BudgetSpent):
        while True:
            bench.train(training())
            rounds += 1
    return rounds


def no_payloads(content_hash: bytes) -> bytes:
    raise AssertionError(f"nobody has {content_hash.hex()}")


def test_other_settings_go_on_from_what_was_spent() -> None:
    bench = make().bench
    bench.train(training())
    other = make(privacy={"noise_multiplier": 2.0}).bench
    other.load(bench.save())
    other.train(training())
    assert releases(other) == 4
    assert other.privacy_spent is not None
    assert bench.privacy_spent is not None
    assert other.privacy_spent.epsilon > bench.privacy_spent.epsilon


def test_a_round_beyond_the_budget_does_not_begin() -> None:
    bench = make(privacy=THREE_ROUNDS).bench
    assert spend(bench) == 3
    before = bench.save()
    with pytest.raises(
        BudgetSpent, match=r"epsilon 1\.401 of 1\.42 at delta 1e-05, and another round"
    ):
        bench.train(training())
    assert bench.save() == before


def test_privacy_cannot_begin_or_end_between_two_lives() -> None:
    private = make().bench
    private.train(training())
    open_config = parse(run_file())
    identity = Identity(bytes([7]) * 32)
    public = assemble(open_config, identity, task=digits_task()).bench
    with pytest.raises(LocalError, match="trained with privacy"):
        public.load(private.save())
    with pytest.raises(LocalError, match="trained without privacy"):
        make().bench.load(public.save())
    state = load(private.save())
    state["privacy/history"] = state["privacy/history"].float()
    with pytest.raises(LocalError, match="does not say"):
        make().bench.load(save(state))


@pytest.mark.parametrize(("before", "after"), [MECHANISM_NAMES, MECHANISM_NAMES[::-1]])
def test_what_one_mechanism_spent_is_not_gone_on_from_by_another(before: str, after: str) -> None:
    bench = make(before).bench
    bench.train(training())
    other = make(after).bench
    with pytest.raises(ConfigError, match=f"write {before}, as before, or use another state") as e:
        other.load(bench.save())
    assert (e.value.field, e.value.value) == ("privacy.mechanism", after)


@MECHANISMS
def test_what_was_spent_says_what_it_protects(mechanism: str) -> None:
    bench = make(mechanism).bench
    bench.train(training())
    state = load(bench.save())
    protected = {"per-step": "one row", "per-release": "all rows"}[mechanism]
    assert bytes(state["privacy/mechanism"].tolist()).decode() == f"{mechanism} {protected}"
    assert bench.privacy_spent is not None
    assert bench.privacy_spent.to_json_object()["protected"] == protected


@pytest.mark.parametrize(
    ("sample_rate", "mechanism", "is_taken"),
    [(0.1, "per-step", True), (0.1, "per-release", False), (1.0, "per-step", False)],
)
def test_a_save_without_a_mechanism_is_taken_where_there_is_but_one(
    sample_rate: float, mechanism: str, is_taken: bool
) -> None:
    bench = make(privacy={"sample_rate": sample_rate, "noise_multiplier": 20.0}).bench
    bench.train(training())
    state = load(bench.save())
    del state["privacy/mechanism"]
    other = make(mechanism).bench
    if is_taken:
        other.load(save(state))
        assert releases(other) == 2
    else:
        with pytest.raises(ConfigError, match="nobody knows which mechanism"):
            other.load(save(state))


def test_a_mechanism_that_nobody_knows_is_refused() -> None:
    bench = make().bench
    state = load(bench.save())
    for text in (torch.zeros(3, dtype=torch.uint8), torch.zeros(3), torch.tensor(7)):
        state["privacy/mechanism"] = text
        with pytest.raises(LocalError, match="by which mechanism"):
            make().bench.load(save(state))


def test_an_outer_step_goes_on_from_what_was_hidden() -> None:
    table = {"outer": {"name": "noloco", "learning_rate": 0.5, "momentum": 0.5}}
    plain = make("per-release")
    bench, restored = (make("per-release", **table) for _ in range(2))
    for each in (plain, bench):
        each.bench.train(training())
    hidden = plain.bench.learner.vector()
    assert torch.equal(bench.bench.learner.vector(), hidden)
    bench.bench.integrate(integration({}), no_payloads)
    restored.bench.load(bench.bench.save())
    wanted = bench.bench.initial + 0.5 * (hidden - bench.bench.initial)
    assert torch.equal(restored.bench.learner.vector(), wanted)
    assert releases(restored.bench) == 2  # that of the next round, which may have begun


# What does not go with it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "tables"),
    [
        ("integration.weights", {"integration": {"weights": "examples"}}),
        ("method.basis", {"method": {"name": "fed-sb", "basis": "0" * 64}}),
        (
            "method.basis",
            {
                "method": {"name": "fed-sb", "basis": "0" * 64},
                "privacy": {"validation_is_public": True},
            },
        ),
        ("integration.rule", {"integration": {"rule": "bristle"}}),
        ("schedule.plateau_evaluations", {"schedule": {"plateau_evaluations": 2}}),
        (
            "reputation.loss_gate.enabled",
            {"reputation": {"enabled": True, "loss_gate": {"enabled": True}}},
        ),
        ("privacy.delta", {"privacy": {"delta": 0.01}}),
        ("privacy.epsilon_max", {"privacy": {"noise_multiplier": 0.1}}),
    ],
)
def test_what_tells_more_is_refused(field: str, tables: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**tables)
    assert caught.value.field == field


@pytest.mark.parametrize(("mechanism", "is_told"), [("per-release", True), ("per-step", False)])
def test_too_small_a_budget_for_another_mechanism_says_that_it_stays(
    mechanism: str, is_told: bool
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(mechanism, privacy={"noise_multiplier": 0.1})
    told = "a state folder with a model keeps its mechanism"
    assert (told in caught.value.fix) == is_told


def test_public_validation_rows_may_decide() -> None:
    make(
        privacy={"validation_is_public": True},
        schedule={"plateau_evaluations": 2},
        reputation={"enabled": True, "loss_gate": {"enabled": True}},
    )


def test_a_basis_of_public_rows_may_be_shared(tmp_path: Path) -> None:
    public = digits_task().rows("validation").batch(torch.arange(50))
    bases = gradient_basis(
        digits_task().create_model(),
        [public],
        lambda model, batch: digits_task().loss(model(batch.inputs), batch.labels),
        rank=2,
        targets=("0",),
    )
    path = tmp_path / "basis.safetensors"
    method = {"name": "fed-sb", "targets": ["0"], "modules": ["2"], "rank": 2}
    method |= {"basis": save_basis(bases, path), "basis_file": str(path)}
    assembly = make(privacy={"basis_is_public": True}, method=method)
    assert bool(change_in(assembly).isfinite().all())


@pytest.mark.filterwarnings("ignore:1 normalization layers")
@MECHANISMS
def test_layers_that_measure_rows_are_refused(mechanism: str) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10))

    with pytest.raises(ConfigError, match="layer 1 keeps running statistics"):
        make(mechanism, task=replace(digits_task(), create_model=model))


def test_a_model_that_remembers_is_refused() -> None:
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, inputs: Tensor) -> Tensor:
            self.seen.add_(inputs.mean(dim=0))  # type: ignore[operator]
            logits: Tensor = self.layer(inputs)
            return logits

    rows = make_examples(40)
    task = Task(name="t", create_model=Remembers, train=rows, validation=rows, test=rows)
    with pytest.raises(LocalError, match="changes its buffers"):
        make(task=task).bench.train(training())


def test_inputs_prepared_by_private_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="figures of private rows"):
        make(task=replace(digits_task(), is_prepared_by_rows=True))


def test_a_learner_of_ones_own_is_hidden_as_a_whole() -> None:
    learner = make().bench.learner
    identity = Identity(bytes([7]) * 32)
    config = parse(run_file(privacy={"enabled": True}))
    with pytest.raises(ConfigError, match="write per-release"):
        assemble_learner(config, identity, learner)
    table = {"enabled": True, "mechanism": "per-release", "noise_multiplier": 20.0}
    bench = assemble_learner(parse(run_file(privacy=table)), identity, learner).bench
    bench.train(training())
    assert releases(bench) == 1


@pytest.mark.slow
def test_digits_are_learned_with_a_modest_epsilon() -> None:
    sgd = {"name": "sgd", "learning_rate": 0.5}
    assembly = make(
        privacy={"noise_multiplier": 2.0, "epsilon_max": 3.0},
        training={"steps_per_round": 50, "batch_size": 64, "step_rule": sgd},
    )
    bench = assembly.bench
    assert spend(bench) > 5
    assert bench.privacy_spent is not None
    assert 2.5 < bench.privacy_spent.epsilon <= 3.0
    score, _ = bench.learner.evaluate("test", should_stop=lambda: False)
    assert score > 0.88
