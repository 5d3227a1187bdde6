"""A tiny model for the tests of methods, and what trains in it."""

import torch
from torch import nn

from p2pfed.updates.method import AdaptedModel


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(6, 4)
        self.value = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.tanh(self.query(inputs)) * self.value(inputs)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(inputs))
        return logits


def make_model(seed: int = 0) -> Model:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return Model()


def frozen_and_trained(adapted: AdaptedModel) -> tuple[set[str], set[str]]:
    """Take a step and say which tensors of the model changed, by whether they travel."""
    before = {name: value.clone() for name, value in adapted.model.state_dict().items()}
    travelling = {id(value) for value in adapted.trainable.values()}
    optimizer = torch.optim.SGD([p for p in adapted.model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # with B = 0, the first step moves only B
        optimizer.zero_grad()
        adapted.model(torch.linspace(-1, 1, 12).view(2, 6)).pow(2).sum().backward()
        optimizer.step()
    changed = {
        name
        for name, value in adapted.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    names = {name for name, value in adapted.model.named_parameters() if id(value) in travelling}
    return changed - names, changed & names
