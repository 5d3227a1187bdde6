"""Exported folders load with the libraries that people use, without p2pfed."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from p2pfed.errors import LocalError
from p2pfed.learn.examples import Examples
from p2pfed.learn.export import export_adapter
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.reuters import create_model, reuters
from p2pfed.learn.steps import AdamW
from p2pfed.updates.method import Method
from p2pfed.updates.methods import (
    Bottleneck,
    FedSb,
    Full,
    Lora,
    LoraRanks,
    Peft,
    Ranks,
    SparseSumMethod,
)
from tests.learn.peers import digits_task, make_learner


@pytest.mark.slow
def test_peft_loads_the_adapter_with_equal_logits(tmp_path: Path, fetched: dict[str, Path]) -> None:
    assert "minilm" in fetched
    plan = Plan(step_rule=AdamW(learning_rate=0.01), steps_per_round=2, batch_size=4)
    task = reuters(tokens=12)
    learner = TaskLearner(task, Lora(), plan=plan, seed=0, peer="a")
    learner.train(0, should_stop=lambda: False)
    folder = export_adapter(learner.adapted, tmp_path / "adapter", run_name="my run")
    loaded = PeftModel.from_pretrained(create_model(), str(folder))  # type: ignore[arg-type]
    batch = task.rows("test").batch(torch.arange(4))
    assert isinstance(batch.inputs, dict)
    learner.adapted.model.eval()
    with torch.no_grad():
        expected = learner.adapted.model(**batch.inputs)
        found = loaded.eval()(**batch.inputs)
        fresh = create_model().eval()(**batch.inputs)
    assert torch.equal(found, expected)
    assert not torch.allclose(fresh, expected, atol=0.1)
    card = (folder / "README.md").read_text()
    assert card.startswith("# my run\n")
    assert "lora (rank = 8, alpha = 16.0" in card


def test_torch_loads_the_weights(tmp_path: Path) -> None:
    learner = make_learner()
    learner.train(0, should_stop=lambda: False)
    folder = tmp_path / "run" / "weights"
    for _ in range(2):  # the second time replaces the first
        export_adapter(learner.adapted, folder, run_name="r", class_names=tuple("0123456789"))
    model = digits_task().create_model()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    rows = digits_task().rows("test")
    assert isinstance(rows, Examples)
    with torch.no_grad():
        assert torch.equal(model(rows.inputs), learner.adapted.model(rows.inputs))
    card = (folder / "README.md").read_text()
    assert "full (initial = portable)" in card
    assert "0, 1, 2" in card
    assert learner.specification.digest(learner.vector()).hex() in card


def test_adapters_of_a_ledger_are_those_of_peft(tmp_path: Path) -> None:
    method = SparseSumMethod(targets=("0",), modules=("2",), rank=2)
    base = digits_task().create_model()
    task = replace(digits_task(), create_model=lambda: deepcopy(base))
    learner = TaskLearner(task, method, plan=Plan(steps_per_round=2), seed=1, peer="a")
    learner.train(0, should_stop=lambda: False)
    folder = export_adapter(learner.adapted, tmp_path / "out", run_name="r")
    loaded = PeftModel.from_pretrained(deepcopy(base), str(folder))  # type: ignore[arg-type]
    rows = digits_task().rows("test")
    assert isinstance(rows, Examples)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(rows.inputs), learner.adapted.model(rows.inputs))
    assert "PeftModel.from_pretrained" in (folder / "README.md").read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    learner = TaskLearner(digits_task(), Full(), plan=Plan(), seed=0, peer="a")
    with pytest.raises(LocalError, match="cannot write"):
        export_adapter(learner.adapted, tmp_path / "file", run_name="r")


@pytest.mark.parametrize(
    "method",
    [
        Bottleneck(size=2, targets=("0",), modules=("2",)),
        FedSb(rank=2, targets=("0",), modules=("2",)),
        Peft(type="LOHA", targets=("0",), modules=("2",), options=("r=2",)),
        Ranks(),
        LoraRanks(rank=2, targets=("0",), modules=("2",)),
    ],
    ids=lambda method: method.name,
)
def test_what_was_added_loads_as_its_readme_says(tmp_path: Path, method: Method) -> None:
    base = digits_task().create_model()
    task = replace(digits_task(), create_model=lambda: deepcopy(base))
    learner = TaskLearner(task, method, plan=Plan(steps_per_round=2), seed=1, peer="a")
    learner.train(0, should_stop=lambda: False)
    export_adapter(learner.adapted, tmp_path / "out", run_name="r")
    card = (tmp_path / "out" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {"model": deepcopy(base), "seed": 1}
    exec(code.replace('"out/', f'"{tmp_path}/out/'), names)  # noqa: S102 - our own text
    rows = digits_task().rows("test")
    assert isinstance(rows, Examples)
    with torch.no_grad():
        assert torch.equal(names["model"](rows.inputs), learner.adapted.model(rows.inputs))
