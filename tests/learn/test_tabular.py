"""A user's own CSV file as a task."""

from pathlib import Path

import pytest
import torch

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.steps import AdamW
from p2pfed.learn.tasks import load_task
from p2pfed.updates.methods import Full

FACTORY = "p2pfed.learn.tabular:csv_task"


def write_csv(folder: Path, *, rows: int = 120, head: str = "width,kind,height") -> Path:
    path = folder / "own.csv"
    lines = [head]
    for row in range(rows):
        width, height = row * 37 % 101, row * 53 % 97
        lines.append(f"{width},{'wide' if width > height else 'tall'},{height / 10}")
    path.write_text("\n".join(lines) + "\n")
    return path


def options(path: Path, **others: object) -> dict[str, object]:
    return {"path": str(path), "label": "kind", "classes": ["tall", "wide"], **others}


def test_a_csv_file_is_learned(tmp_path: Path) -> None:
    task = load_task(FACTORY, options(write_csv(tmp_path)))
    assert [len(task.rows(split)) for split in ("train", "validation", "test")] == [84, 12, 24]
    train = task.rows("train")
    assert isinstance(train, Examples)
    assert isinstance(train.inputs, torch.Tensor)
    torch.testing.assert_close(train.inputs.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    plan = Plan(step_rule=AdamW(learning_rate=0.03), steps_per_round=60, batch_size=16)
    learner = TaskLearner(task, Full(), plan=plan, seed=0, peer="a")
    learner.train(0, should_stop=lambda: False)
    assert learner.evaluate("test", should_stop=lambda: False)[0] > 0.85


def test_peers_agree_about_the_model_whatever_their_rows(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tasks = [
        load_task(FACTORY, options(write_csv(folder, rows=rows)))
        for folder, rows in ((tmp_path, 120), (tmp_path / "other", 20))
    ]
    vectors = [TaskLearner(task, Full(), plan=Plan(), seed=0, peer="a").vector() for task in tasks]
    assert torch.equal(vectors[0], vectors[1])


def test_a_constant_column_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("x,kind,y\n" + "".join(f"{i},tall,5\n" for i in range(20)))
    train = load_task(FACTORY, options(path)).rows("train")
    assert isinstance(train, Examples)
    assert isinstance(train.inputs, torch.Tensor)
    assert bool(torch.isfinite(train.inputs).all())


@pytest.mark.parametrize(
    ("text", "others", "field", "words"),
    [
        (None, {}, "task.path", "cannot be read"),
        ("", {}, "task.label", "columns"),
        ("a,b\n1,2\n", {}, "task.label", "columns a, b"),
        ("a,kind\n", {}, "task.path", "no rows"),
        ("a,kind\n1,tall\n", {}, "task.path", "too few"),
        ("a,kind\n1\n", {}, "task.path", "line 2 has 1 cells"),
        ("a,kind\n1,round\n", {}, "task.classes", "'round'.*line 2"),
        ("a,kind\n1,tall\nx,tall\n", {}, "task.path", "line 3, column a holds 'x'"),
        ("a,kind\nnan,tall\n", {}, "task.path", "'nan'"),
        ("a,kind\n1e999,tall\n", {}, "task.path", "'1e999'"),
        ("a,kind\n1,tall\n", {"test_ratio": 0.95}, "task.test_ratio", "below 1"),
        ("a,kind\n1,tall\n", {"labels": "x"}, "task.labels", "takes path"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, text: str | None, others: dict[str, object], field: str, words: str
) -> None:
    path = tmp_path / "own.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_task(FACTORY, options(path, **others))
    assert caught.value.field == field


def test_given_means_and_deviations_replace_those_of_the_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    raw = load_task(FACTORY, options(path, means=[0.0, 0.0], deviations=[1.0, 1.0]))
    scaled = load_task(FACTORY, options(path, means=[50.0, 5.0], deviations=[10.0, 2.0]))
    inputs = []
    for task in (raw, scaled):
        assert not task.is_prepared_by_rows
        rows = task.rows("train")
        assert isinstance(rows, Examples)
        inputs.append(torch.as_tensor(rows.inputs))
    expected = (inputs[0] - torch.tensor([50.0, 5.0])) / torch.tensor([10.0, 2.0])
    torch.testing.assert_close(inputs[1], expected)
    assert load_task(FACTORY, options(path)).is_prepared_by_rows


@pytest.mark.parametrize(
    ("means", "deviations", "field"),
    [
        ([1.0], [1.0, 1.0], "task.means"),
        ([1.0, 1.0], [], "task.deviations"),
        ([], [1.0, 1.0], "task.means"),
        ([1.0, 1.0], [1.0, 0.0], "task.deviations"),
        ([1.0, float("nan")], [1.0, 1.0], "task.means"),
    ],
)
def test_wrong_means_and_deviations_are_named(
    tmp_path: Path, means: list[float], deviations: list[float], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_task(FACTORY, options(write_csv(tmp_path), means=means, deviations=deviations))
    assert caught.value.field == field
