"""What each adapter type of peft needs on a tiny language model, and what became of it.

`python -m tests.updates.peft_cases` prints the table of docs/methods.md.
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import peft
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import Peft

VERSION: Final = "0.21.2"  # of peft, whose types the table lists
TYPES: Final = tuple(kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING)

# Operations whose last bits depend on the machine: sums in an order of its choice, decompositions,
# and functions that IEEE 754 does not fix.
_INEXACT: Final = frozenset(
    {"mm", "bmm", "addmm", "std", "sum", "mean", "pow", "rsqrt", "exp", "log", "erfinv_"}
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to try a type.

    Attributes:
        targets: Of the method.
        options: Of the method, for layers of 16 values.
        batch: What a batch holds beside the tokens.
        needs: In words: what a run has to set beside `targets`.
    """

    targets: tuple[str, ...] = ("q_proj", "v_proj")
    options: tuple[str, ...] = ()
    batch: dict[str, Tensor | None] = field(default_factory=dict)
    needs: str = ""


_PROMPT: Final = Case(
    targets=(),
    options=("num_virtual_tokens=2",),
    needs="`task`, `targets = []`, `num_virtual_tokens`",
)
_FEWER: Final = "on small layers a lower `n_frequency`"
_LOWER: Final = "on small layers a lower `r`"
_TASKS: Final = torch.tensor([0, 1])

CASES: Final[dict[str, Case]] = {
    "ADALORA": Case(options=("total_step=10",), needs="`total_step`; ranks stay as they start"),
    "ADAPTION_PROMPT": Case(
        targets=(),
        options=("adapter_len=2", "adapter_layers=1"),
        needs="a Llama, Mistral or GPT-2; `targets = []`, `adapter_len`, `adapter_layers`",
    ),
    "C3A": Case(options=("block_size=8",), needs="`block_size`, a divisor of both sides"),
    "CARTRIDGE": _PROMPT,
    "CPT": Case(
        targets=(),
        options=("cpt_token_ids=[1,2]", "cpt_mask=[1,1]", "cpt_tokens_type_mask=[1,2]"),
        batch={"labels": None},
        needs="`task = CAUSAL_LM`, `targets = []`, `cpt_token_ids` and its masks; batches with "
        "`labels`",
    ),
    "FOURIERFT": Case(options=("n_frequency=10",), needs=_FEWER),
    "IA3": Case(needs="`feedforward_modules`, where peft does not know the model"),
    "MISS": Case(options=("r=4",), needs=_LOWER),
    "MULTITASK_PROMPT_TUNING": Case(
        targets=(),
        options=("num_virtual_tokens=2", "num_tasks=2"),
        batch={"task_ids": _TASKS},
        needs="as `PROMPT_TUNING`, `num_tasks`; batches with `task_ids`",
    ),
    "POLY": Case(
        options=("n_tasks=2", "n_skills=2"),
        batch={"task_ids": _TASKS},
        needs="`task`; batches with `task_ids`",
    ),
    "PREFIX_TUNING": _PROMPT,
    "PROMPT_TUNING": _PROMPT,
    "PSOFT": Case(options=("r=4",), needs=_LOWER),
    "P_TUNING": Case(
        targets=(),
        options=("num_virtual_tokens=2", "encoder_hidden_size=8"),
        needs="as `PROMPT_TUNING`, `encoder_hidden_size`",
    ),
    "ROAD": Case(options=("group_size=4",), needs="`group_size`, a divisor of the outputs"),
    "SHADOW": Case(targets=(), needs="a decoder; `task`, `targets = []`"),
    "SHIRA": Case(options=("r=2",), needs=_LOWER),
    "TRAINABLE_TOKENS": Case(
        targets=("embed_tokens",),
        options=("token_indices=[1,2]",),
        needs="`token_indices`; the embedding as target",
    ),
    "VBLORA": Case(options=("vector_length=8",), needs="`vector_length`, a divisor of both sides"),
    "WAVEFT": Case(options=("n_frequency=10",), needs=_FEWER),
    "XLORA": Case(targets=()),
}

# Why a type cannot take part.
REASONS: Final = {
    "XLORA": "no: it mixes adapters that were trained before, from files of its own",
}


def make_model() -> nn.Module:
    """Make a language model with the same bits every time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=32,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
                use_cache=False,
            )
        )


def adapt(
    kind: str, *, noise: int = 0, seed: int = 3, model: nn.Module | None = None
) -> AdaptedModel:
    """Adapt the model, with every global generator at another state per `noise`."""
    case = CASES.get(kind, Case())
    method = Peft(
        type=kind,
        targets=case.targets,
        modules=("lm_head",),
        task="CAUSAL_LM",
        options=case.options,
    )
    random.seed(noise)
    np.random.seed(noise)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(noise)
        return method.adapt(model or make_model(), seed=seed)


def loss(kind: str, adapted: AdaptedModel) -> Tensor:
    """Predict the next token, as a task does: from outputs alone."""
    tokens = torch.arange(8).view(2, 4)
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = adapted.model(**inputs, **CASES.get(kind, Case()).batch)
    return nn.functional.cross_entropy(outputs.logits[:, -1], torch.tensor([5, 9]))


class Watch(TorchDispatchMode):
    """Notes which operations run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    @override
    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.seen.add(str(func).split(".")[1])
        return func(*args, **(kwargs or {}))


def start(kind: str) -> str:
    """Say where the type starts from the same bits."""
    model = make_model()
    with Watch() as watch:
        adapt(kind, model=model)
    exact = not any("linalg_" in name or name in _INEXACT for name in watch.seen)
    return "any machine" if exact else "machines that round alike"


def row(kind: str) -> str:
    """Return a type's line of the table."""
    try:
        begins = start(kind)
    except ConfigError:
        return f"| `{kind}` | {REASONS.get(kind, 'no')} | | |"
    return f"| `{kind}` | yes | {begins} | {CASES.get(kind, Case()).needs} |".replace("|  |", "| |")


if __name__ == "__main__":
    print(f"peft {peft.__version__}")
    for each in TYPES:
        print(row(each))
