"""Tasks: the built-in ones share no row between sets, a user's own are found or named."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from p2pfed.errors import ConfigError
from p2pfed.learn.digits import digits
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.partition import Dirichlet, Iid
from p2pfed.learn.reuters import CLASSES, read_texts, reuters
from p2pfed.learn.steps import AdamW
from p2pfed.learn.task import Task, accuracy, predicted_classes
from p2pfed.learn.tasks import TASKS, load_task
from p2pfed.updates.methods import Lora
from tests.learn.peers import make_examples

SPLITS = ("train", "validation", "test")


def hashes(task: Task, split: str) -> list[bytes]:
    rows = task.rows(split)
    assert isinstance(rows, Examples)
    return rows.content_hashes()


def check_sets(task: Task) -> None:
    """Assert that no input occurs twice, within a set or in two of them."""
    found = [content for split in SPLITS for content in hashes(task, split)]
    assert len(set(found)) == len(found)


def make_task(**options: object) -> Task:
    """Serve as a user's factory."""
    size = options.get("size", 4)
    assert isinstance(size, int)
    return Task(
        name="own",
        create_model=lambda: nn.Linear(size, 2),
        train=make_examples(10, size=size),
        validation=make_examples(6, size=size),
        test=make_examples(7, size=size),
    )


def make_nothing(*, path: str) -> str:
    """Serve as a user's factory that returns something else."""
    return path


def test_digits_sets_are_disjoint() -> None:
    task = digits()
    check_sets(task)
    assert task.describe() == {
        "name": "digits",
        "classes": tuple("0123456789"),
        "train": 1297,
        "validation": 200,
        "test": 300,
    }
    assert 0.1 <= task.majority_accuracy() < 0.15
    inputs = task.rows("train").batch(torch.arange(1297)).inputs
    assert isinstance(inputs, torch.Tensor)
    assert (float(inputs.min()), float(inputs.max())) == (-0.5, 0.5)


def test_the_peers_share_the_training_rows_and_no_others() -> None:
    tasks = [
        load_task("digits", partition=Dirichlet(alpha=0.3), seed=4, peer_index=index, peer_count=5)
        for index in range(5)
    ]
    shares = [content for task in tasks for content in hashes(task, "train")]
    assert sorted(shares) == sorted(hashes(digits(), "train"))
    for task in tasks:
        check_sets(task)
        assert hashes(task, "test") == hashes(digits(), "test")


def test_digits_need_neither_peft_nor_transformers() -> None:
    code = (
        "import sys; from p2pfed.learn.tasks import load_task; import p2pfed.learn.export;"
        "import p2pfed.learn.workbench; load_task('digits').create_model();"
        "sys.exit(bool({'peft', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_reuters_sets_are_disjoint(fetched: dict[str, Path]) -> None:
    task = reuters()
    check_sets(task)
    assert [len(task.rows(split)) for split in SPLITS] == [5176, 200, 200]
    assert task.class_names == CLASSES
    assert set(task.rows("test").labels.tolist()) <= set(range(8))
    assert 0.45 < task.majority_accuracy() < 0.55
    batch = task.rows("train").batch(torch.arange(3))
    assert isinstance(batch.inputs, dict)
    assert batch.inputs["input_ids"].shape == (3, 32)
    assert set(batch.inputs["input_ids"][:, 0].tolist()) == {101}  # [CLS]
    texts, labels = read_texts(fetched["reuters"] / "reuters-r8-test.tab")
    assert len(texts) == 2_189
    assert labels.count(CLASSES.index("earn")) == 1_083


@pytest.mark.slow
def test_lora_learns_reuters(fetched: dict[str, Path]) -> None:
    assert "minilm" in fetched
    plan = Plan(
        step_rule=AdamW(learning_rate=2e-3, head_learning_rate=1e-2),
        steps_per_round=6,
        batch_size=12,
    )
    learner = TaskLearner(
        reuters(tokens=24, validation_rows=60), Lora(), plan=plan, seed=0, peer="a"
    )
    assert learner.specification.size == 73_728 + 384 * 8 + 8
    digest = learner.adapted.base_digest()
    before, _ = learner.evaluate("validation", should_stop=lambda: False)
    learner.train(0, should_stop=lambda: False)
    after, _ = learner.evaluate("validation", should_stop=lambda: False)
    assert after > 0.6 > before
    assert learner.adapted.base_digest() == digest


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tokens": 2}, "task.tokens"),
        ({"tokens": 1000}, "task.tokens"),
        ({"topics": 3}, "task.topics"),
    ],
)
def test_mistakes_in_reuters_are_named(options: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_task("reuters", options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"validation_rows": 0}, "task.validation_rows = 0: write an integer of at least 1"),
        ({"hidden_size": 0}, "task.hidden_size = 0: write an integer"),
        ({"test_rows": "3"}, "task.test_rows = '3': write an integer"),
        ({"test_rows": 3000}, "task.test_rows = 3000: write less; with validation_rows = 200 at"),
        (
            {"validation_rows": 701},
            "task.validation_rows = 701: write less; with test_rows = 300 at most 1,000 of 1,797",
        ),
    ],
)
def test_mistakes_in_digits_are_named(sizes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_task("digits", sizes)
    assert str(caught.value).startswith(said)


def test_a_factory_of_the_user_is_found() -> None:
    task = load_task("tests.learn.test_tasks:make_task", {"size": 3})
    assert task.name == "own"
    assert len(task.rows("train")) == 10  # its own rows, all of them
    shared = load_task(task, partition=Iid(), peer_index=1, peer_count=2)
    assert len(shared.rows("train")) == 5
    assert set(TASKS) == {"digits", "reuters"}


def test_a_factory_beside_the_program_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_task.py").write_text("from tests.learn.test_tasks import make_task as make\n")
    (tmp_path / "broken_task.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_task("own_task:make").name == "own"
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        load_task("broken_task:make")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digit", {}, "write digits, reuters, or package.module:factory"),
        ("no_such_module:make", {}, "there is no module no_such_module"),
        ("tests.learn.no_such:make", {}, "there is no module tests.learn.no_such"),
        ("tests.learn.test_tasks:absent", {}, "has no function absent"),
        ("tests.learn.test_tasks:SPLITS", {}, "has no function SPLITS"),
        ("tests.learn.test_tasks:make_nothing", {"path": "x"}, "not a str"),
        ("tests.learn.test_tasks:make_nothing", {}, "needs it"),
        ("tests.learn.test_tasks:make_nothing", {"paht": "x"}, "takes path"),
        (make_task(), {"size": 3}, "made already"),
    ],
)
def test_mistakes_are_named(name: str | Task, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_task(name, options)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_share_that_is_not_there_is_named(index: int) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        load_task("digits", partition=Iid(), peer_index=index, peer_count=2)


def test_an_answer_of_nan_is_no_class() -> None:
    # To argmax NaN is the largest: the first row would be right about class 0.
    logits = torch.tensor([[float("nan"), 0.0, 0.0], [0.0, 2.0, float("inf")]])
    assert predicted_classes(logits).tolist() == [3, 2]
    assert float(accuracy(logits, torch.tensor([0, 2]))) == 0.5
