"""A task of short instructions for a tiny transformer: four categories, whose rows have owners.

The base has learned to do all of them under other words, as a language model has before it is tuned
to instructions; each peer has examples of one category alone.
"""

import copy
from functools import cache
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from p2pfed.learn.examples import Examples
from p2pfed.learn.task import Task, predicted_classes

CATEGORIES: Final = ("copy", "reverse", "next", "rotate")
SYMBOLS: Final = 8
LENGTH: Final = 4
WIDTH: Final = 32
BASE_WORDS: Final = SYMBOLS  # tokens by which the base was told what to do, one per category
WORDS: Final = SYMBOLS + len(CATEGORIES)  # and those that peers have examples of
BASE_STEPS: Final = 600
TRAIN_ROWS, TEST_ROWS = 400, 50  # of each category


class Transformer(nn.Module):
    """One block; answers an instruction and some symbols with as many symbols."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(SYMBOLS + 2 * len(CATEGORIES), WIDTH)
        self.places = nn.Embedding(1 + LENGTH, WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.inner = nn.Linear(WIDTH, 4 * WIDTH)
        self.outer = nn.Linear(4 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits, shape (b, symbols of the answer, symbols), of tokens, shape (b, t)."""
        states = self.tokens(tokens) + self.places.weight  # (b, t, h)
        states = states + states[:, :1]  # all places are told what to do
        query, key, value = self.query(states), self.key(states), self.value(states)
        states = states + functional.scaled_dot_product_attention(query, key, value)
        states = states + self.outer(functional.gelu(self.inner(states)))
        logits: Tensor = self.head(states[:, 1:])
        return logits


def instructions() -> Task:
    """Make the task; with the partition `natural`, each of four peers owns one category."""
    train, groups = _rows(TRAIN_ROWS, seed=0)
    test, _ = _rows(TEST_ROWS, seed=1)
    return Task(
        name="instructions",
        create_model=lambda: copy.deepcopy(_base()),
        train=train,
        validation=test,
        test=test,
        loss=_loss,
        metric=_exact_match,
        groups=groups,
    )


@cache
def _base() -> Transformer:
    rows, _ = _rows(1_000, seed=2, words=BASE_WORDS)
    assert isinstance(rows.inputs, Tensor)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = Transformer()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(BASE_STEPS):
            drawn = torch.randint(len(rows), (64,), generator=generator)
            optimizer.zero_grad()
            _loss(model(rows.inputs[drawn]), rows.labels[drawn]).backward()
            optimizer.step()
    return model


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


def _exact_match(logits: Tensor, labels: Tensor) -> Tensor:
    return (predicted_classes(logits) == labels).all(dim=1).float().mean()


def _rows(count: int, *, seed: int, words: int = WORDS) -> tuple[Examples, Tensor]:
    """Draw examples of every category, and say of which each is."""
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = [], []
    for number, category in enumerate(CATEGORIES):
        symbols = torch.randint(SYMBOLS, (count, LENGTH), generator=generator)
        inputs.append(torch.cat((torch.full((count, 1), words + number), symbols), dim=1))
        labels.append(_answer(category, symbols))
    groups = torch.arange(len(CATEGORIES)).repeat_interleave(count)
    return Examples(torch.cat(inputs), torch.cat(labels)), groups


def _answer(category: str, symbols: Tensor) -> Tensor:
    match category:
        case "copy":
            return symbols
        case "reverse":
            return symbols.flip(1)
        case "next":
            return (symbols + 1) % SYMBOLS
        case _:
            return symbols.roll(1, dims=1)
