"""Any adapter of peft goes through the same path: it starts alike, trains and travels."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn

from p2pfed.errors import ConfigError
from p2pfed.updates.methods import Lora, Peft
from tests.updates.peft_cases import REASONS, TYPES, VERSION, adapt, loss, row
from tests.updates.tiny import frozen_and_trained, make_model

ROOT = Path(__file__).parents[2]
WORKING = [kind for kind in TYPES if kind not in REASONS]
SLOW = {"ADAMSS"}  # clusters the singular vectors


def marked(kinds: Iterable[str]) -> list[Any]:
    return [
        pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else [], id=kind)
        for kind in kinds
    ]


@pytest.mark.parametrize("kind", marked(WORKING))
def test_a_type_starts_alike_trains_and_travels(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapted, other = adapt(kind), adapt(kind, noise=1)
    start = adapted.vector()
    assert torch.equal(other.vector(), start)
    assert other.base_digest() == adapted.base_digest()
    optimizer = torch.optim.SGD(adapted.trainable.values(), lr=0.1)
    adapted.model.eval()
    loss(kind, adapted).backward()
    optimizer.step()
    trained = adapted.vector()
    adapters = [name for name in adapted.trainable if name != "lm_head.weight"]
    moved = adapted.specification.unflatten(trained - start)
    assert any(bool(moved[name].any()) for name in adapters)
    assert bool(moved["lm_head.weight"].any())
    other.load_vector(trained)
    assert torch.equal(other.vector(), trained)
    other.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(loss(kind, other), loss(kind, adapted))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", sorted(REASONS))
def test_a_type_that_cannot_take_part_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        adapt(kind)
    assert caught.value.fix.startswith("it cannot take part: it ")
    assert kind not in caught.value.fix.partition("write one of ")[2].split(", ")
    assert caught.value.field in ("method.type", "method.options")


@pytest.mark.parametrize("kind", marked(TYPES))
@pytest.mark.skipif(peft.__version__ != VERSION, reason="the table is of another peft")
def test_the_table_of_the_guide_is_true(kind: str) -> None:
    assert row(kind) in (ROOT / "docs" / "methods.md").read_text("utf-8").splitlines()


DIGESTS = """
import torch
from tests.updates.peft_cases import adapt
from tests.updates.test_peft_adapter import WORKING, describe_start
for kind in WORKING:
    print(kind, describe_start(kind, noise=7))
"""


def describe_start(kind: str, *, noise: int = 0) -> str:
    adapted = adapt(kind, noise=noise)
    return (adapted.specification.digest(adapted.vector()) + adapted.base_digest()).hex()


@pytest.mark.slow
def test_another_process_starts_from_the_same_bits() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIGESTS],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = dict(line.split() for line in run.stdout.splitlines())
    assert found == {kind: describe_start(kind) for kind in WORKING}


def test_lora_by_either_method_has_the_same_parameters() -> None:
    ours = Lora(rank=2).adapt(make_model(), seed=3)
    theirs = Peft(options=("r=2", "lora_alpha=16")).adapt(make_model(), seed=3)
    assert theirs.specification == ours.specification
    assert theirs.head_names == ours.head_names
    assert theirs.base_digest() == ours.base_digest()
    strangers, trained = frozen_and_trained(theirs)
    assert strangers == set()
    assert len(trained) == 6


def test_other_seeds_start_elsewhere() -> None:
    first, second = (Peft(options=("r=2",)).adapt(make_model(), seed=seed) for seed in (3, 4))
    assert not torch.equal(first.vector(), second.vector())


def test_what_peft_adds_frozen_is_part_of_the_base() -> None:
    method = Peft(type="VERA", options=("r=2",))
    digests = {method.adapt(make_model(), seed=seed).base_digest() for seed in (3, 3, 4)}
    assert len(digests) == 2


def test_the_order_of_options_means_nothing() -> None:
    first, second = Peft(options=("r=2", "lora_alpha=4")), Peft(options=("lora_alpha=4", "r=2"))
    assert first == second
    assert first.describe() == second.describe()


@pytest.mark.parametrize(
    ("method", "field", "words"),
    [
        (Peft(type="LORRA"), "method.type", "ADALORA"),
        (Peft(task="CHAT"), "method.task", "SEQ_CLS"),
        (Peft(options=("rang=2",)), "method.options", "remove rang"),
        (Peft(options=('target_modules="all"',)), "method.options", "remove target_modules"),
        (Peft(options=("r=-1",)), "method.type", "does not fit"),
        (Peft(type="PROMPT_TUNING"), "method.targets", r"write \[\]"),
        (Peft(targets=("key",)), "method.type", "key"),
        (Peft(type="LOHA", options=("r=2", 'r2="x"')), "method.options", "remove r2"),
        (Peft(modules=("haed",)), "method.modules", "head"),
    ],
)
def test_mistakes_are_named(method: Peft, field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        method.adapt(make_model(), seed=0)
    assert caught.value.field == field


@pytest.mark.parametrize("options", [("r",), ("r=two",), ("r=1", "r=2"), ("r-x=1",)])
def test_options_are_names_and_json(options: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="name=value") as caught:
        Peft(options=options)
    assert caught.value.field == "method.options"


class Tokens(nn.Module):
    """A model that is no transformer, with an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.embedding(tokens).mean(dim=1))
        return logits


def test_a_model_without_the_parts_that_a_type_needs_is_named() -> None:
    method = Peft(type="PREFIX_TUNING", targets=(), task="CAUSAL_LM")
    with pytest.raises(ConfigError) as caught:
        method.adapt(Tokens(), seed=0)
    assert caught.value.field == "method.type"
