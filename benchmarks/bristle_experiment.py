"""Bristle against other rules where data are few, not alike and partly lies; 8 x 8 digits.

15 peers, everyone linked with everyone. 10 honest ones have 2 training images of each of 4
consecutive classes; 5 have 2 of all classes and call each by the next one's number, and follow the
protocol otherwise. All train the head behind the same frozen layers, one batch of 5 images per
iteration. Accuracy is that of the honest peers, all of them, on images of all classes.

    python -m benchmarks.bristle_experiment --all    # writes docs/results/bristle.md
    python -m benchmarks.bristle_experiment          # without ablations; prints what it found
    python -m benchmarks.bristle_experiment --seeds 1 --iterations 50 --out bristle.md
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

import robust
from benchmarks import bristle_report
from benchmarks.bristle_digits import CLASS_COUNT, Digits, Peer, Samples, deal, load
from benchmarks.bristle_report import Run
from robust.bristle.consolidation import center_columns, restore_foreign_columns
from robust.bristle.f1 import HeadEvaluation
from robust.registry import accepts

DOCUMENT = Path(__file__).parents[1] / "docs" / "results" / "bristle.md"
SEEDS = 5
MORE_SEEDS = 3  # of the ablations
# The authors' numbers, but for the window of the honest peers' classes, which slides here too.
ITERATIONS = 300
HONEST_COUNT = 10
LIAR_COUNT = 5
CLASSES_PER_PEER = 4
SAMPLES_PER_CLASS = 2
BATCH = 5
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 5e-3


Attack = Literal["label-flip", "foreign-trojan", "none"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A rule, what a peer does around it, and what the liars do.

    Attributes:
        rule: A name that `robust.create` knows.
        gamma: The part of the way to the rule's output.
        parameters: Further parameters of the rule.
        is_self_centered: Whether peers get different results from the same rows.
        centers: Whether columns are centered after integration.
        restores: Whether training is undone in columns of foreign classes.
        attack: Flip labels; or train on true ones and send each peer heads that are negated in
            the columns of its foreign classes; or nothing, without the liars.
    """

    rule: str
    gamma: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_self_centered: bool = False
    centers: bool = False
    restores: bool = False
    attack: Attack = "label-flip"


_BRISTLE = Method(rule="bristle", is_self_centered=True, centers=True, restores=True)
_TROJAN = replace(_BRISTLE, attack="foreign-trojan")
METHODS = {
    "Bristle": _BRISTLE,
    "mean": Method(rule="mean"),
    "median": Method(rule="median"),
    "Krum, half of the way": Method(rule="krum", gamma=0.5),
    "BRIDGE-T": Method(rule="bridge", is_self_centered=True),
    "UBAR": Method(rule="ubar", is_self_centered=True, parameters={"neighbor_share": 0.5}),
}
ABLATIONS = {
    "Bristle, columns not centered": replace(_BRISTLE, centers=False),
    "Bristle, all columns trained": replace(_BRISTLE, restores=False),
    "Bristle, neither": replace(_BRISTLE, centers=False, restores=False),
    "mean, centered, own columns trained": Method(rule="mean", centers=True, restores=True),
    "median, centered, own columns trained": Method(rule="median", centers=True, restores=True),
    "Bristle, no liars": replace(_BRISTLE, attack="none"),
    "mean, no liars": Method(rule="mean", attack="none"),
    "Bristle, foreign trojans": _TROJAN,
    "Bristle, foreign trojans, guard median": replace(
        _TROJAN, parameters={"foreign_guard": "median"}
    ),
    "Bristle, foreign trojans, guard clip": replace(_TROJAN, parameters={"foreign_guard": "clip"}),
    "Bristle, guard median": replace(_BRISTLE, parameters={"foreign_guard": "median"}),
    "Bristle, guard clip": replace(_BRISTLE, parameters={"foreign_guard": "clip"}),
}


class Training:
    """Adam on all peers' heads at once, one batch each."""

    def __init__(self, peers: Sequence[Peer], seed: int) -> None:
        self._peers = peers
        self._generator = torch.Generator().manual_seed(seed)
        self._moments: tuple[Tensor, Tensor] | None = None
        self._steps = 0

    def step(self, heads: Tensor) -> Tensor:
        """Return the trained heads, shape (peers, features, classes)."""
        batches = [self._draw(peer) for peer in self._peers]
        features = torch.stack([batch.features for batch in batches])  # (peers, batch, features)
        targets = torch.stack([one_hot(batch.labels, CLASS_COUNT).float() for batch in batches])
        errors = ((features @ heads).softmax(dim=2) - targets) / features.shape[1]
        gradient = features.transpose(1, 2) @ errors + WEIGHT_DECAY * heads
        if self._moments is None:
            self._moments = (torch.zeros_like(heads), torch.zeros_like(heads))
        first, second = self._moments
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        self._moments = (first, second)
        self._steps += 1
        first = first / (1 - 0.9**self._steps)
        second = second / (1 - 0.999**self._steps)
        return heads - LEARNING_RATE * first / (second.sqrt() + 1e-8)

    def _draw(self, peer: Peer) -> Samples:
        order = torch.randperm(len(peer.training.labels), generator=self._generator)
        return peer.training.at(order[:BATCH])


def make_peers(digits: Digits, seed: int, attack: Attack) -> list[Peer]:
    """Deal the classes: a window that slides for the honest ones, all of them for the liars."""
    windows = [
        [(first + offset) % CLASS_COUNT for offset in range(CLASSES_PER_PEER)]
        for first in range(HONEST_COUNT)
    ]
    liar_count = 0 if attack == "none" else LIAR_COUNT
    classes = [*windows, *([*range(CLASS_COUNT)] for _ in range(liar_count))]
    peers = deal(digits.pool, classes, samples_per_class=SAMPLES_PER_CLASS, seed=seed)
    if attack != "label-flip":
        return peers
    liars = (
        replace(peer, training=peer.training.flipped(), validation=peer.validation.flipped())
        for peer in peers[HONEST_COUNT:]
    )
    return [*peers[:HONEST_COUNT], *liars]


def make_rule(method: Method, peer: Peer, liar_count: int) -> robust.Rule:
    """Make the rule as one peer uses it."""
    parameters = {"byzantine_count": liar_count} | dict(method.parameters)
    if accepts(method.rule, "evaluate"):
        parameters["evaluate"] = HeadEvaluation(
            features=peer.validation.features,
            labels=peer.validation.labels,
            class_count=CLASS_COUNT,
            familiar=peer.classes,
        )
    if accepts(method.rule, "class_count"):
        parameters |= {"class_count": CLASS_COUNT, "familiar": peer.classes}
    return robust.create(method.rule, **parameters)


def run(digits: Digits, method: Method, *, seed: int, iterations: int) -> Run:
    """Let all peers learn together and follow the honest ones' accuracy."""
    peers = make_peers(digits, seed, method.attack)
    rules = [make_rule(method, peer, len(peers) - HONEST_COUNT) for peer in peers]
    training = Training(peers, seed)
    heads = torch.zeros(len(peers), digits.test.features.shape[1], CLASS_COUNT)
    accuracy, liar_weights = [], [0.0]
    for iteration in range(iterations):
        if iteration > 0:
            heads, liar_weight = _integrate(heads, method, peers, rules)
            liar_weights.append(liar_weight)
        if method.centers:
            heads = torch.stack([center_columns(head) for head in heads])
        trained = training.step(heads)
        if method.restores:
            pairs = zip(trained, heads, peers, strict=True)
            trained = torch.stack([restore_foreign_columns(t, h, p.classes) for t, h, p in pairs])
        heads = trained
        hits = (digits.test.features @ heads[:HONEST_COUNT]).argmax(dim=2) == digits.test.labels
        accuracy.append(hits.double().mean(dim=1))
    return Run(
        accuracy=torch.stack(accuracy),
        neighbor_count=len(peers) - 1,
        liar_weight=statistics.fmean(liar_weights),
    )


def _integrate(
    heads: Tensor, method: Method, peers: Sequence[Peer], rules: Sequence[robust.Rule]
) -> tuple[Tensor, float]:
    mixed: list[Tensor] = []
    liar_weights = []
    vector = heads[0]
    for number, (peer, rule) in enumerate(zip(peers, rules, strict=True)):
        own = heads[number].flatten()
        if not mixed or method.is_self_centered:
            rows = _received(heads, method, peer).flatten(start_dim=1)
            if number < HONEST_COUNT:
                result = rule.aggregate(rows, own=own)
                vector = result.vector
                liar_weights.append(float(result.coefficients[HONEST_COUNT:].sum()))
            else:  # what the liars believe is nobody's concern
                vector = rule(rows, own=own)
        mixed.append(own + method.gamma * (vector - own))
    return torch.stack(mixed).view_as(heads), method.gamma * statistics.fmean(liar_weights)


def _received(heads: Tensor, method: Method, peer: Peer) -> Tensor:
    if method.attack != "foreign-trojan" or len(peer.classes) == CLASS_COUNT:
        return heads
    signs = torch.full((CLASS_COUNT,), -1.0)
    signs[list(peer.classes)] = 1.0
    return torch.cat((heads[:HONEST_COUNT], heads[HONEST_COUNT:] * signs))


def main() -> int:
    """Run all methods and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--all", action="store_true", help="ablations and other attacks too")
    parser.add_argument("--out", type=Path, help="default: the document, of a whole run; or none")
    options = parser.parse_args()
    is_whole = options.all and (options.seeds, options.iterations) == (SEEDS, ITERATIONS)
    if options.out is None and is_whole:
        options.out = DOCUMENT
    torch.set_num_threads(1)
    began = time.process_time()
    digits = load()
    missing = sorted({it.rule for it in METHODS.values()} - set(robust.names()))
    found = run_all(digits, METHODS, seeds=options.seeds, iterations=options.iterations)
    seconds = [time.process_time() - began]
    more = {}
    if options.all:
        seeds = min(options.seeds, MORE_SEEDS)
        more = run_all(digits, ABLATIONS, seeds=seeds, iterations=options.iterations)
        seconds.append(time.process_time() - began)
    text = bristle_report.document(digits, found, more, missing, seconds)
    if options.out is None:
        print(text)
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(f"written: {options.out}")
    return 0


def run_all(
    digits: Digits, methods: Mapping[str, Method], *, seeds: int, iterations: int
) -> dict[str, list[Run]]:
    """Run each method whose rule there is on each seed."""
    found: dict[str, list[Run]] = {}
    for name, method in methods.items():
        if method.rule not in robust.names():
            continue
        found[name] = []
        for seed in range(seeds):
            found[name].append(run(digits, method, seed=seed, iterations=iterations))
            accuracy = float(found[name][-1].accuracy[-1].mean())
            print(f"{name}, seed {seed}: {accuracy:.3f}", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
