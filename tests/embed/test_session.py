"""Embedding: a program's own loop takes part from an ordinary thread."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

import p2pfed
from p2pfed.config.files import parse
from p2pfed.config.model import MethodTable
from p2pfed.core.notices import LogsLeftOut, PartIdle, StopReason
from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.learner import JobCancelled, TrainingReport
from p2pfed.node.memory_transport import MemoryNetwork, MemoryTransport
from p2pfed.node.opening import load_identity
from p2pfed.node.replaying import replay_record
from p2pfed.updates.registry import create_method

pytestmark = pytest.mark.slow


def make_model():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def run_file(peers=(), **schedule):
    return parse(
        {
            "run": {"task": "embedded"},
            "schedule": {"rounds_max": 4, "deadline_s": 10.0, **schedule},
            "node": {"listen": ["/ip4/127.0.0.1/tcp/0"], "peers": list(peers)},
        }
    )


def join(network, state, *, peers=(), evaluate=None, model=None, record=None, **schedule):
    # Each session has an event loop of its own, which a network in memory cannot span.
    transport = None if network is None else MemoryTransport(network, load_identity(state))
    return p2pfed.join(
        run_file(peers, **schedule),
        model=model or make_model(),
        train_data=range(10),
        evaluate=evaluate,
        state=state,
        transport=transport,
        record=record,
    )


def train_step(model, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(16, 4, generator=generator)
    loss = functional.cross_entropy(model(inputs), (inputs.sum(1) > 0).long())
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
            parameter.grad = None
    return loss.item()


def test_lone_session_trains_to_its_end(tmp_path):
    with join(MemoryNetwork(), tmp_path) as session:
        reports = []
        while not reports or reports[-1].stopped is None:
            reports.append(session.exchange(loss=train_step(session.model, len(reports))))
        assert [report.round for report in reports] == [0, 1, 2, 3]
        assert reports[-1].stopped is StopReason.ROUNDS
        assert session.exchange().stopped is StopReason.ROUNDS


def test_what_was_recorded_replays_alike(tmp_path):
    with join(MemoryNetwork(), tmp_path / "state", record=tmp_path / "record") as session:
        session.exchange(loss=train_step(session.model, 0))
    replayed = replay_record(tmp_path / "record")
    assert (replayed.is_same, replayed.lives) == (True, 1)
    assert replayed.events > 3


def test_alone_the_exchange_leaves_the_model_as_it_is(tmp_path):
    with join(MemoryNetwork(), tmp_path) as session:
        train_step(session.model, 0)
        before = [parameter.detach().clone() for parameter in session.model.parameters()]
        session.exchange()
        for old, new in zip(before, session.model.parameters(), strict=True):
            assert torch.equal(old, new)


def test_a_program_whose_steps_are_scaled_says_how_many_it_took(tmp_path):
    config = parse({"run": {"task": "embedded"}, "training": {"normal_steps": 5}})
    transport = MemoryTransport(MemoryNetwork(), load_identity(tmp_path))
    options = {"train_data": range(10), "state": tmp_path, "transport": transport}
    with p2pfed.join(config, model=make_model(), **options) as session:
        before = nn.utils.parameters_to_vector(session.model.parameters()).detach()
        with torch.no_grad():
            for parameter in session.model.parameters():
                parameter += 1.0
        session.exchange(steps=10)
        after = nn.utils.parameters_to_vector(session.model.parameters()).detach()
    assert torch.allclose(after, before + 0.5)


@pytest.mark.net
def test_two_sessions_integrate_each_other(tmp_path):
    vectors = {}

    def work(name, session, seed):
        stopped = None
        while stopped is None:
            train_step(session.model, seed)
            stopped = session.exchange().stopped
        vectors[name] = nn.utils.parameters_to_vector(session.model.parameters()).detach()

    options = {"mode": "synchronous", "start_neighbors": 1}
    with join(None, tmp_path / "one", **options) as one:
        address = one.report().addresses[0]
        with join(None, tmp_path / "two", peers=[address], **options) as two:
            threads = [
                threading.Thread(target=work, args=("one", one, 1)),
                threading.Thread(target=work, args=("two", two, 2)),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30.0)
            assert one.report().status.neighbors == (load_identity(tmp_path / "two").peer,)
    # Both integrate the same two rows with equal weights in each synchronous round.
    assert torch.allclose(vectors["one"], vectors["two"], atol=1e-6)


def test_session_goes_on_where_it_was(tmp_path):
    with join(MemoryNetwork(), tmp_path) as session:
        train_step(session.model, 0)
        session.exchange()
        vector = nn.utils.parameters_to_vector(session.model.parameters()).detach()
        name = session.report().peer
    with join(MemoryNetwork(), tmp_path, model=make_model()) as again:
        assert again.report().peer == name
        assert torch.equal(nn.utils.parameters_to_vector(again.model.parameters()).detach(), vector)
        assert again.exchange().round == 1


def test_evaluation_sees_the_integrated_model_and_its_score_is_reported(tmp_path):
    model = make_model()
    seen = []

    def evaluate():
        seen.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
        return 0.75, 0.5

    with join(MemoryNetwork(), tmp_path, evaluate=evaluate, model=model) as session:
        train_step(session.model, 0)
        trained = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        assert session.exchange().score == 0.75
    assert torch.equal(seen[0], trained)


def test_who_cannot_evaluate_may_have_the_run_file_of_those_who_can(tmp_path):
    with join(MemoryNetwork(), tmp_path, test_every_rounds=2) as session:
        train_step(session.model, 0)
        assert session.exchange().score is None
    with pytest.raises(ConfigError, match=r"schedule\.plateau_evaluations = 2: set schedule\.eval"):
        join(MemoryNetwork(), tmp_path, plateau_evaluations=2)


def test_closed_session_says_so(tmp_path):
    session = join(MemoryNetwork(), tmp_path)
    session.close()
    session.close()
    with pytest.raises(LocalError, match="closed"):
        session.exchange()


def test_failure_in_the_background_reaches_the_program(tmp_path):
    network = MemoryNetwork()
    with (
        join(network, tmp_path),
        pytest.raises(LocalError, match="in use by another process"),
    ):
        join(network, tmp_path)


def test_bad_neighbor_address_names_the_field(tmp_path):
    with pytest.raises((ConfigError, LocalError), match=r"node\.peers"):
        join(MemoryNetwork(), tmp_path, peers=["/ip4/127.0.0.1/tcp/4001"])


def test_save_pretrained_writes_the_weights(tmp_path):
    from safetensors.torch import load_file

    with join(MemoryNetwork(), tmp_path / "state") as session:
        train_step(session.model, 0)
        session.exchange()
        folder = session.save_pretrained(tmp_path / "model")
        expected = dict(session.model.named_parameters())
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def make_learner(evaluate=None):
    adapted = create_method("full").adapt(make_model(), seed=0)
    return ApplicationLearner(adapted, evaluate=evaluate, example_count=3)


def test_waiting_training_job_can_be_cancelled():
    learner = make_learner()
    before = learner.vector()
    with pytest.raises(JobCancelled):
        learner.train(0, should_stop=lambda: True)
    assert torch.equal(learner.vector(), before)


def test_submitted_vector_answers_the_training_job():
    learner = make_learner()
    vector = learner.vector() + 1.0
    learner.submit(vector, TrainingReport(loss=0.5, examples=7))
    assert learner.train(0, should_stop=lambda: False).loss == 0.5
    assert torch.equal(learner.vector(), vector)


def test_evaluation_without_a_function_says_what_to_do():
    with pytest.raises(LocalError, match="evaluate_every_rounds = 0"):
        make_learner().evaluate("validation", should_stop=lambda: False)


def test_save_pretrained_keeps_the_programs_own_steps(tmp_path):
    with join(MemoryNetwork(), tmp_path / "state") as session:
        session.exchange()
        train_step(session.model, 0)
        live = nn.utils.parameters_to_vector(session.model.parameters()).detach().clone()
        session.save_pretrained(tmp_path / "model")
        assert torch.equal(nn.utils.parameters_to_vector(session.model.parameters()).detach(), live)


def test_lora_session_saves_an_adapter_that_peft_loads(tmp_path):
    from peft import PeftModel

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, inputs):
            return self.head(torch.tanh(self.body(inputs)))

    run = run_file().model_copy(
        update={"method": MethodTable(name="lora", rank=2, targets=["body"], modules=["head"])}
    )
    base = Classifier()
    fresh = Classifier()
    fresh.load_state_dict(base.state_dict())
    transport = MemoryTransport(MemoryNetwork(), load_identity(tmp_path / "state"))
    with p2pfed.join(run, model=base, state=tmp_path / "state", transport=transport) as session:
        loss = session.model(torch.ones(3, 4)).square().sum()
        loss.backward()
        with torch.no_grad():
            for parameter in session.model.parameters():
                if parameter.requires_grad:
                    parameter -= 0.1 * parameter.grad
        session.exchange()
        expected = session.model(torch.ones(3, 4))
        folder = session.save_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(fresh, str(folder))
    assert torch.allclose(loaded(torch.ones(3, 4)), expected, atol=1e-6)


def test_logs_that_are_left_out_are_warned_of(tmp_path, caplog):
    with join(MemoryNetwork(), tmp_path) as session:
        session._take_notice(LogsLeftOut(reason="too many authors"))
    assert "too many authors" in caplog.messages


def test_idle_parts_are_warned_of(tmp_path, caplog):
    with join(MemoryNetwork(), tmp_path) as session:
        session._take_notice(PartIdle(part="reputation.loss_gate", reason="judges nobody"))
    assert "reputation.loss_gate judges nobody" in caplog.messages
