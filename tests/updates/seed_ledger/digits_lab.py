"""A small model of digits as a function of a flat vector, and shards of a few classes each."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from p2pfed.learn.digits import digits

HIDDEN = 64
SIZES = [HIDDEN * 64, HIDDEN, 10 * HIDDEN, 10]
SIZE = sum(SIZES)
PEER_COUNT = 4


def make_start() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(SIZES[0], generator=generator) * 0.6 / 64**0.5
    second = torch.randn(SIZES[2], generator=generator) * 0.6 / HIDDEN**0.5
    return torch.cat((first, torch.zeros(SIZES[1]), second, torch.zeros(SIZES[3])))


def forward(vector: Tensor, inputs: Tensor) -> Tensor:
    first, first_bias, second, second_bias = torch.split(vector, SIZES)
    hidden = torch.relu(inputs @ first.view(HIDDEN, 64).T + first_bias)
    return hidden @ second.view(10, HIDDEN).T + second_bias


@dataclass(frozen=True)
class Shard:
    """The rows of one peer, of four classes."""

    inputs: Tensor
    labels: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.labels), (count, 32), generator=generator)

    def loss(self, vector: Tensor, rows: Tensor) -> Tensor:
        return cross_entropy(forward(vector, self.inputs[rows]), self.labels[rows])


class DigitsLab:
    """Four peers' shards and everybody's test."""

    def __init__(self) -> None:
        task = digits(hidden_size=HIDDEN)
        inputs, labels = task.train.inputs, task.train.labels
        assert isinstance(inputs, Tensor)
        self.test = task.test
        self.shards = []
        for peer in range(PEER_COUNT):
            classes = torch.tensor([(2 * peer + offset) % 10 for offset in range(4)])
            rows = torch.isin(labels, classes)
            self.shards.append(Shard(inputs[rows], labels[rows]))

    def accuracy(self, vector: Tensor) -> float:
        assert isinstance(self.test.inputs, Tensor)
        right = forward(vector, self.test.inputs).argmax(dim=1) == self.test.labels
        return float(right.float().mean())
