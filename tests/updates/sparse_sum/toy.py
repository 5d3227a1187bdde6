"""A toy on which forms of sparse training differ: peers with logistic regressions of their own."""

from collections.abc import Callable

import torch
from torch import Tensor

from p2pfed.updates.codecs import Sparse
from p2pfed.updates.error_feedback import ErrorFeedback
from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.contributor import Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.terms import Terms

PEERS, SIZE, EXAMPLES, STEPS, ROUNDS = 16, 256, 64, 10, 80
CODEC = Sparse(chunk=64, kept=2)


class Toy:
    """Examples of every peer from a place of its own, and one truth behind all labels."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        truth = torch.randn(SIZE, generator=generator)
        places = torch.randn(PEERS, 1, SIZE, generator=generator)
        self.inputs = torch.randn(PEERS, EXAMPLES, SIZE, generator=generator) + places
        self.labels = (self.inputs @ truth > 0).float()

    def train(self, vectors: Tensor) -> Tensor:
        """Take every peer's local steps from its vector, shape (peers, size)."""
        for _ in range(STEPS):
            scores = torch.einsum("pes,ps->pe", self.inputs, vectors)
            slopes = (scores.sigmoid() - self.labels) / EXAMPLES
            vectors = vectors - 0.01 * torch.einsum("pe,pes->ps", slopes, self.inputs)
        return vectors

    def loss(self, vector: Tensor) -> float:
        """Return the mean loss of a vector on everybody's examples."""
        scores = (self.inputs @ vector).reshape(-1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return float(loss(scores, self.labels.reshape(-1)))


def central(toy: Toy) -> Tensor:
    """SparseLoCo with a server: one model, the mean of what all peers publish."""
    feedback = [ErrorFeedback(CODEC, SIZE, decay=0.95) for _ in range(PEERS)]
    model = torch.zeros(SIZE)
    for _ in range(ROUNDS):
        trained = toy.train(model.repeat(PEERS, 1))
        sent = [it.encode(model - own).decoded for it, own in zip(feedback, trained, strict=True)]
        model = model - torch.stack(sent).mean(dim=0)
    return model


def flood(toy: Toy, writer: Callable[[int], Writer]) -> list[Tensor]:
    """The sparse sum: every peer has a ledger, and hears of all updates in an order of its own."""
    terms = Terms(size=SIZE, peer_count=PEERS, codec=CODEC)
    ledgers = [SparseSum(terms) for _ in range(PEERS)]
    contributors = [Contributor(terms) for _ in range(PEERS)]
    start = torch.zeros(SIZE)
    models = [start.clone() for _ in range(PEERS)]
    for round in range(1, ROUNDS + 1):
        trained = toy.train(torch.stack(models))
        made = [
            each.next_operation(ledgers[peer], writer(peer), trained[peer] - models[peer])
            for peer, each in enumerate(contributors)
        ]
        for peer, ledger in enumerate(ledgers):
            for author in sorted(range(PEERS), key=lambda it: (it * 7 + peer * round) % 17):
                ledger.apply(writer(author), round, made[author])
        models = [ledger.materialize(start) for ledger in ledgers]
    return models


def mixed_on_a_ring(toy: Toy) -> list[Tensor]:
    """What looks alike and is not: every peer adds up the updates of its two neighbors alone."""
    feedback = [ErrorFeedback(CODEC, SIZE, decay=0.95) for _ in range(PEERS)]
    models = torch.zeros(PEERS, SIZE)
    for _ in range(ROUNDS):
        trained = toy.train(models)
        sent = torch.stack(
            [it.encode(models[peer] - trained[peer]).decoded for peer, it in enumerate(feedback)]
        )
        models = models - (sent + sent.roll(1, dims=0) + sent.roll(-1, dims=0)) / 3
    return list(models)
