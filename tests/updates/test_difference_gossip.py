"""Difference gossip: equal copies everywhere, gaps that are noticed, and agreement on the mean."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from p2pfed.errors import CodecError, ConfigError, LocalError
from p2pfed.identity import PeerId
from p2pfed.messages import UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import Float32, Int4, Int8, RandK, Sign, Sparse, TopK, Uniform
from p2pfed.updates.difference_gossip import DifferenceGossip, Publication, Reception
from tests.updates.codecs.cases import make_vector

SIZE = 2_000
PEERS = 8
WEIGHT = 1 / 3  # Metropolis on a ring: every degree is 2


def peer_id(index: int) -> PeerId:
    return PeerId(bytes([index]) * 32)


def make_gossip(codec: Codec | None = None, *, gamma: float = 1.0) -> DifferenceGossip:
    return DifferenceGossip(codec or Int4(), SIZE, gamma=gamma)


ALICE = peer_id(1)


class Ring:
    """Eight peers that only agree: no local steps."""

    def __init__(self, codec: Codec, *, gamma: float) -> None:
        self.peers = [make_gossip(codec, gamma=gamma) for _ in range(PEERS)]
        self.vectors = [make_vector(SIZE, seed=seed, scale=1.0) for seed in range(PEERS)]
        self.mean = torch.stack(self.vectors).double().mean(dim=0)
        self.first_distance = self.distance()

    def round(self, sequence: int) -> None:
        said = [
            peer.publish(vector, sequence=sequence)
            for peer, vector in zip(self.peers, self.vectors, strict=True)
        ]
        for index, peer in enumerate(self.peers):
            for other in ((index - 1) % PEERS, (index + 1) % PEERS):
                assert peer.receive(peer_id(other), said[other]) is Reception.APPLIED
            rows = [copy.vector for copy in peer.neighbors.values()]
            target = peer.own.vector + sum(WEIGHT * (row - peer.own.vector) for row in rows)
            self.vectors[index] = peer.step(self.vectors[index], target)

    def run(self, rounds: int) -> "Ring":
        for sequence in range(1, rounds + 1):
            self.round(sequence)
        return self

    def distance(self) -> float:
        return float((torch.stack(self.vectors).double() - self.mean).square().sum())

    def relative_distance(self) -> float:
        return self.distance() / self.first_distance

    def mean_drift(self) -> float:
        return drift(self.vectors, self.mean)


def drift(vectors: list[Tensor], mean: Tensor) -> float:
    moved = torch.stack(vectors).double().mean(dim=0) - mean
    return float(moved.norm() / mean.norm())


def naive_ring(codec: Codec, rounds: int) -> tuple[float, float]:
    """Send Q(x) itself: relative distance and drift after some rounds."""
    vectors = [make_vector(SIZE, seed=seed, scale=1.0) for seed in range(PEERS)]
    mean = torch.stack(vectors).double().mean(dim=0)
    first = float((torch.stack(vectors).double() - mean).square().sum())
    for _ in range(rounds):
        rows = [codec.decode(codec.encode(vector), SIZE) for vector in vectors]
        vectors = [
            vectors[i] * WEIGHT + WEIGHT * (rows[i - 1] + rows[(i + 1) % PEERS])
            for i in range(PEERS)
        ]
    distance = float((torch.stack(vectors).double() - mean).square().sum())
    return distance / first, drift(vectors, mean)


# ------------------------------------------------------------------- agreement on the mean


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "gamma", "rounds", "distance"),
    [
        (Float32(), 1.0, 50, 1e-9),
        (Int8(), 1.0, 50, 1e-9),
        (Int4(), 1.0, 50, 1e-9),
        (Uniform(), 1.0, 50, 1e-9),
        (TopK(values="float32"), 0.1, 50, 6e-2),
        (TopK(), 0.2, 100, 2e-4),
        (TopK(density=0.01, values="float32"), 0.03, 80, 0.3),
        (RandK(), 0.1, 150, 2e-2),
        (Sign(), 0.3, 50, 2e-2),
        (Sparse(chunk=500, kept=20), 0.1, 80, 0.2),
    ],
    ids=repr,
)
def test_peers_agree_and_their_mean_stays(
    codec: Codec, gamma: float, rounds: int, distance: float
) -> None:
    ring = Ring(codec, gamma=gamma).run(rounds)
    assert ring.relative_distance() < distance
    assert ring.mean_drift() < 2e-6


@pytest.mark.parametrize(
    ("codec", "floor", "drift_min"),
    [
        (Int8(), 1e-5, 0.01),
        (Int4(), 1e-2, 0.2),
        (TopK(values="float32"), 0.08, 0.7),
        (Sign(), 0.08, 0.7),
    ],
    ids=repr,
)
def test_compressing_vectors_themselves_stalls_and_moves_the_mean(
    codec: Codec, floor: float, drift_min: float
) -> None:
    distance, moved = naive_ring(codec, 50)
    assert distance > floor
    assert moved > drift_min


@pytest.mark.slow
def test_too_large_a_step_diverges() -> None:
    # At 0.1 the same codec agrees, above.
    assert Ring(RandK(), gamma=0.2).run(150).relative_distance() > 2


# ------------------------------------------------------------------------- equal copies


@pytest.mark.parametrize(
    "codec",
    [Float32(), Int8(), Int4(), Uniform(), Sign(), TopK(), RandK(), Sparse(chunk=500, kept=20)],
    ids=repr,
)
def test_copies_are_equal_to_the_bit_at_both_ends(codec: Codec) -> None:
    author, reader = make_gossip(codec, gamma=0.5), make_gossip(codec, gamma=0.5)
    for sequence in range(1, 8):
        published = author.publish(make_vector(SIZE, seed=sequence), sequence=sequence)
        assert reader.receive(ALICE, published) is Reception.APPLIED
        assert torch.equal(reader.neighbors[ALICE].vector, author.own.vector)
        assert reader.neighbors[ALICE].sequence == author.own.sequence == sequence


def test_the_copy_of_a_vector_at_rest_becomes_the_vector() -> None:
    author, vector = make_gossip(), make_vector(SIZE, scale=1e-4)
    errors = []
    for sequence in range(1, 12):
        author.publish(vector, sequence=sequence)
        errors.append(float((author.own.vector - vector).norm() / vector.norm()))
    assert errors[0] > 0.05
    assert errors[-1] < 1e-7


# ---------------------------------------------------------------------- gaps and full copies


def publications(count: int) -> tuple[DifferenceGossip, list[Publication]]:
    author = make_gossip()
    said = [
        author.publish(make_vector(SIZE, seed=sequence), sequence=sequence)
        for sequence in range(1, count + 1)
    ]
    return author, said


def test_a_difference_is_refused_if_the_one_before_is_missing() -> None:
    _, said = publications(3)
    reader = make_gossip()
    assert reader.receive(ALICE, said[0]) is Reception.APPLIED
    before = reader.neighbors[ALICE]
    assert reader.receive(ALICE, said[2]) is Reception.GAP
    assert reader.neighbors[ALICE] is before
    assert reader.receive(ALICE, said[1]) is Reception.APPLIED
    assert reader.receive(ALICE, said[2]) is Reception.APPLIED


def test_a_newcomer_cannot_begin_in_the_middle_but_with_a_full_copy() -> None:
    author, said = publications(3)
    reader = make_gossip()
    assert reader.receive(ALICE, said[2]) is Reception.GAP
    assert ALICE not in reader.neighbors
    vector = make_vector(SIZE, seed=9)
    full = author.publish(vector, sequence=7, is_full=True)
    assert (full.kind, full.base) == (UpdateKind.FULL, 0)
    assert reader.receive(ALICE, full) is Reception.APPLIED
    assert torch.equal(reader.neighbors[ALICE].vector, vector)
    after = author.publish(make_vector(SIZE, seed=10), sequence=8)
    assert after.base == 7
    assert reader.receive(ALICE, after) is Reception.APPLIED
    assert torch.equal(reader.neighbors[ALICE].vector, author.own.vector)


def test_a_repeated_publication_is_known_and_not_added_twice() -> None:
    author, said = publications(2)
    reader = make_gossip()
    for published in (said[0], said[0], said[1], said[0], said[1]):
        reader.receive(ALICE, published)
    assert reader.receive(ALICE, said[1]) is Reception.KNOWN
    assert torch.equal(reader.neighbors[ALICE].vector, author.own.vector)


def test_a_new_incarnation_begins_anew() -> None:
    _, said = publications(3)
    reader = make_gossip()
    for published in said:
        reader.receive(ALICE, published)
    reborn = DifferenceGossip(Int4(), SIZE, gamma=1.0, incarnation=2**64 - 1)
    published = reborn.publish(make_vector(SIZE, seed=5), sequence=1)
    assert reader.receive(ALICE, published) is Reception.APPLIED
    assert torch.equal(reader.neighbors[ALICE].vector, reborn.own.vector)
    assert reader.neighbors[ALICE].incarnation == 2**64 - 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: replace(said, data=b"x"),
        lambda said: replace(said, data=said.data + b"x"),
        lambda said: replace(said, kind=UpdateKind.FULL),
        lambda said: replace(said, kind=UpdateKind.SNAPSHOT),
    ],
)
def test_wrong_bytes_change_nothing(spoil: Callable[[Publication], Publication]) -> None:
    _, said = publications(2)
    reader = make_gossip()
    reader.receive(ALICE, said[0])
    before = reader.neighbors[ALICE]
    with pytest.raises(CodecError):
        reader.receive(ALICE, spoil(said[1]))
    assert reader.neighbors[ALICE] is before


def test_differences_that_add_up_to_infinity_are_refused() -> None:
    reader = make_gossip(Float32())
    huge = Float32().encode(torch.full((SIZE,), 3e38))
    for sequence in (1, 2):
        published = Publication(
            incarnation=0,
            sequence=sequence,
            kind=UpdateKind.DIFFERENCE,
            base=sequence - 1,
            data=huge,
        )
        if sequence == 1:
            reader.receive(ALICE, published)
    with pytest.raises(CodecError, match="infinity"):
        reader.receive(ALICE, published)


def test_a_vector_that_cannot_be_published_changes_nothing() -> None:
    author, _ = publications(2)
    before = author.own
    for vector, sequence in (
        (torch.full((SIZE,), torch.nan), 3),
        (torch.zeros(SIZE + 1), 3),
        (torch.zeros(SIZE), 2),
    ):
        with pytest.raises(LocalError):
            author.publish(vector, sequence=sequence)
    assert author.own is before


# ----------------------------------------------------------------------- the rest of the interface


def test_neighbors_come_in_the_order_of_their_ids_and_can_be_forgotten() -> None:
    reader = make_gossip()
    _, said = publications(1)
    for index in (5, 2, 9):
        reader.receive(peer_id(index), said[0])
    assert list(reader.neighbors) == [peer_id(2), peer_id(5), peer_id(9)]
    reader.forget(peer_id(5))
    reader.forget(peer_id(5))
    assert list(reader.neighbors) == [peer_id(2), peer_id(9)]


def test_a_restored_one_goes_on_where_it_was() -> None:
    author, said = publications(2)
    reader = DifferenceGossip(Int4(), SIZE, gamma=1.0, incarnation=2**64 - 1)
    reader.publish(make_vector(SIZE, seed=3), sequence=4)
    reader.receive(ALICE, said[0])
    restored = make_gossip()
    restored.load_state(reader.state())
    assert restored.receive(ALICE, said[1]) is Reception.APPLIED
    assert torch.equal(restored.neighbors[ALICE].vector, author.own.vector)
    vector = make_vector(SIZE, seed=4)
    assert restored.publish(vector, sequence=5) == reader.publish(vector, sequence=5)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"own.0.0": torch.zeros(SIZE + 1)},
        {"own.0.0": torch.zeros(SIZE, dtype=torch.float64)},
        {"own.0": torch.zeros(SIZE)},
        {"own.0.x": torch.zeros(SIZE)},
        {"own.0.0": torch.zeros(SIZE), "bob.0.0": torch.zeros(SIZE)},
    ],
)
def test_another_state_is_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(LocalError, match="saved"):
        make_gossip().load_state(state)


def test_a_codec_that_can_lose_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="difference gossip needs a codec that keeps"):
        make_gossip(Uniform(step_rms=2.0))


@pytest.mark.parametrize("gamma", [0.0, -1.0, 1.5])
def test_a_gamma_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigError, match=r"difference_gossip\.gamma"):
        make_gossip(gamma=gamma)
