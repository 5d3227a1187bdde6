"""Rows in memory and behind a Dataset read alike."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from p2pfed.errors import LocalError
from p2pfed.learn.examples import (
    DatasetRows,
    Examples,
    Rows,
    as_rows,
    cut,
    drop_duplicates,
    order_by_content,
)
from tests.learn.peers import make_examples


class Items(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def make_rows(kind: str) -> Rows:
    ids, labels = torch.arange(12).view(6, 2), torch.arange(6)
    if kind == "tensor":
        return Examples(ids, labels)
    if kind == "names":
        return Examples({"ids": ids, "mask": ids > 3}, labels)
    if kind == "pairs":
        return as_rows(Items([(ids[i], i) for i in range(6)]))
    return as_rows(Items([{"ids": ids[i], "mask": ids[i] > 3, "labels": i} for i in range(6)]))


@pytest.mark.parametrize("kind", ["tensor", "names", "pairs", "dictionaries"])
def test_rows_are_read_by_index(kind: str) -> None:
    rows = make_rows(kind)
    assert len(rows) == 6
    assert rows.labels.tolist() == [0, 1, 2, 3, 4, 5]
    subset = rows.subset(torch.tensor([4, 1, 3]))
    assert len(subset) == 3
    batch = subset.batch(torch.tensor([2, 0]))
    assert batch.labels.tolist() == [3, 4]
    inputs = batch.inputs if isinstance(batch.inputs, Tensor) else batch.inputs["ids"]
    assert inputs.tolist() == [[6, 7], [8, 9]]
    assert len(batch.to(inputs.device)) == 2


def test_rows_stay_as_they_are() -> None:
    examples = make_examples(3)
    assert as_rows(examples) is examples
    assert len(DatasetRows(Items([])).labels) == 0


def test_other_items_are_refused() -> None:
    for items in ([1, 2], [{"ids": 1}], [(1, 2, 3)]):
        with pytest.raises(LocalError, match="neither"):
            as_rows(Items(items)).batch(torch.tensor([0]))


def test_inputs_and_labels_have_one_length() -> None:
    with pytest.raises(LocalError, match="first sizes"):
        Examples(torch.zeros(3, 2), torch.zeros(4))


def test_duplicates_are_dropped_whatever_their_label() -> None:
    examples = Examples(torch.tensor([[1.0], [2.0], [1.0], [3.0]]), torch.tensor([0, 1, 1, 0]))
    kept = drop_duplicates(examples)
    assert kept.labels.tolist() == [0, 1, 0]
    known = frozenset(examples.batch(torch.tensor([1])).content_hashes())
    assert drop_duplicates(examples, known=known).labels.tolist() == [0, 0]


def test_the_order_by_content_forgets_the_order_before() -> None:
    examples = make_examples(50)
    shuffled = examples.batch(torch.arange(50).flip(0))
    first, second = order_by_content(examples), order_by_content(shuffled)
    assert torch.equal(first.labels, second.labels)
    assert first.content_hashes() == second.content_hashes() == sorted(examples.content_hashes())


def test_cutting_leaves_a_rest() -> None:
    pieces = cut(make_examples(10), (2, 3))
    assert [len(piece) for piece in pieces] == [2, 3, 5]
    with pytest.raises(LocalError, match="leave some over"):
        cut(make_examples(10), (5, 5))
