"""Public copies: equal everywhere, gaps that are noticed, and agreement on the mean."""

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from p2pfed.core.effects import IntegrationRow, OwnPlace
from p2pfed.errors import CodecError, ConfigError, LocalError
from p2pfed.learn.decoded import FULL_CODEC
from p2pfed.learn.public_copies import PublicCopies
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import Float32, Int4, Int8, RandK, Sign, Sparse, TopK, Uniform
from p2pfed.updates.error_feedback import ErrorFeedback
from tests.learn.peers import make_header, make_peer
from tests.updates.codecs.cases import make_vector

SIZE = 2_000
PEERS = 8
WEIGHT = 1 / 3  # Metropolis on a ring: every degree is 2
LIFE = 5


class Author:
    """One peer: publishes its vector, and follows what others published.

    Attributes:
        copies: What it knows of itself and of the others.
        sequence: Of its newest update.
    """

    def __init__(self, codec: Codec | None = None, index: int = 1) -> None:
        self.codec = codec or Int4()
        self.copies = PublicCopies(self.codec, SIZE)
        self.peer = make_peer(index)
        self.incarnation = LIFE
        self.sequence = 0
        self.payloads: dict[bytes, tuple[UpdateKind, bytes]] = {}

    def place(self, *, needs_full: bool = False) -> OwnPlace:
        return OwnPlace(incarnation=self.incarnation, sequence=self.sequence, needs_full=needs_full)

    def publish(self, vector: Tensor, *, needs_full: bool = False) -> UpdateHeader:
        data, is_full = self.copies.encode(vector, self.place(needs_full=needs_full))
        kind = UpdateKind.FULL if is_full else UpdateKind.DIFFERENCE
        header = replace(
            make_header(data),
            author=self.peer,
            kind=kind,
            incarnation=self.incarnation,
            sequence=self.sequence + 1,
            base=0 if is_full else self.sequence,
        )
        self.sequence += 1
        self.payloads[header.payload_hash] = (kind, data)
        return header

    def public(self) -> Tensor:
        own = self.copies.own(self.place())
        assert own is not None
        return own

    def decode(self, header: UpdateHeader) -> Tensor:
        kind, data = self.payloads[header.payload_hash]
        codec = FULL_CODEC if kind is UpdateKind.FULL else self.codec
        return codec.decode(data, SIZE)

    def follow(self, author: "Author", *headers: UpdateHeader) -> Tensor | None:
        """Take an author's updates, the newest last; None if one is missing."""
        row = IntegrationRow(
            peer=author.peer, header=headers[-1], staleness=0, before=tuple(headers[:-1])
        )
        copy = self.copies.follow(row, author.decode)
        if copy is not None:
            self.copies.commit({author.peer: copy})
        return None if copy is None else copy.vector


class Ring:
    """Eight peers that only agree: no local steps."""

    def __init__(self, codec: Codec, *, gamma: float) -> None:
        self.gamma = gamma
        self.peers = [Author(codec, index) for index in range(PEERS)]
        self.vectors = [make_vector(SIZE, seed=seed, scale=1.0) for seed in range(PEERS)]
        self.mean = torch.stack(self.vectors).double().mean(dim=0)
        self.first_distance = self.distance()

    def round(self) -> None:
        said = [peer.publish(vector) for peer, vector in zip(self.peers, self.vectors, strict=True)]
        for index, peer in enumerate(self.peers):
            own = peer.public()
            target = own.clone()
            for other in ((index - 1) % PEERS, (index + 1) % PEERS):
                row = peer.follow(self.peers[other], said[other])
                assert row is not None
                target += WEIGHT * (row - own)
            self.vectors[index] = self.vectors[index] + self.gamma * (target - own)

    def run(self, rounds: int) -> "Ring":
        for _ in range(rounds):
            self.round()
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


# Agreement on the mean ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "gamma", "rounds", "distance"),
    [
        (Float32(), 1.0, 50, 1e-9),
        (Int8(), 1.0, 50, 1e-9),
        (Int4(), 1.0, 50, 1e-9),
        (Uniform(), 1.0, 50, 1e-9),
        (TopK(values="float32"), 0.1, 150, 2e-3),
        (TopK(values="float32"), 0.2, 150, 1e-5),
        (TopK(), 0.2, 150, 1e-5),
        (TopK(density=0.01, values="float32"), 0.03, 150, 0.2),
        (RandK(), 0.1, 150, 2e-2),
        (Sign(), 0.3, 50, 2e-2),
        (Sparse(chunk=500, kept=20), 0.1, 150, 0.2),
    ],
    ids=repr,
)
def test_peers_agree_and_their_mean_stays(
    codec: Codec, gamma: float, rounds: int, distance: float
) -> None:
    ring = Ring(codec, gamma=gamma).run(rounds)
    assert ring.relative_distance() < distance
    assert ring.mean_drift() < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "codec",
    [Int4(), Uniform(step_rms=1.0), Sign(), TopK(), TopK(density=0.3), RandK(), RandK(density=0.5)],
    ids=repr,
)
def test_the_largest_step_that_a_codec_names_converges(codec: Codec) -> None:
    ring = Ring(codec, gamma=codec.gossip_step_max)
    early = ring.run(30).relative_distance()
    assert ring.run(60).relative_distance() < min(0.5 * early, 0.4)


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
    ring = Ring(RandK(), gamma=0.2)
    early = ring.run(20).relative_distance()
    assert ring.run(130).relative_distance() > max(early, 0.5)


# Equal copies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codec",
    [Float32(), Int8(), Int4(), Uniform(), Sign(), TopK(), RandK(), Sparse(chunk=500, kept=20)],
    ids=repr,
)
def test_copies_are_equal_to_the_bit_at_both_ends(codec: Codec) -> None:
    author, reader = Author(codec), Author(codec, 2)
    for seed in range(1, 8):
        copy = reader.follow(author, author.publish(make_vector(SIZE, seed=seed)))
        assert copy is not None
        assert torch.equal(copy, author.public())


@pytest.mark.parametrize("codec", [TopK(values="float32"), RandK(values="float32")])
def test_a_copy_that_lags_behind_is_error_feedback_of_the_steps(codec: Codec) -> None:
    author, feedback = Author(codec), ErrorFeedback(codec, SIZE)
    vector = torch.zeros(SIZE)
    for seed in range(5):
        step = (
            make_vector(SIZE, seed=seed) * 10_000
        ).round()  # whole numbers, whose sums are exact
        vector = vector + step
        sent = author.payloads[author.publish(vector).payload_hash]
        assert sent[1] == feedback.encode(step).data
    assert torch.equal(vector - author.public(), feedback.residual)


def test_the_copy_of_a_vector_at_rest_becomes_the_vector() -> None:
    author, vector = Author(), make_vector(SIZE, scale=1e-4)
    errors = []
    for _ in range(11):
        author.publish(vector)
        errors.append(float((author.public() - vector).norm() / vector.norm()))
    assert errors[0] > 0.05
    assert errors[-1] < 1e-7


def test_what_was_not_sent_is_sent_again() -> None:
    author = Author()
    author.publish(make_vector(SIZE, seed=1))
    before = author.public()
    author.copies.encode(make_vector(SIZE, seed=2), author.place())  # given up: never signed
    assert torch.equal(author.public(), before)
    reader = Author(index=2)
    header = author.publish(make_vector(SIZE, seed=3))
    first = next(iter(author.payloads))
    assert first != header.payload_hash
    copy = reader.follow(author, replace(header, sequence=1, base=0, payload_hash=first), header)
    assert copy is not None
    assert torch.equal(copy, author.public())


# Gaps and full copies ----------------------------------------------------------------------


def publications(count: int) -> tuple[Author, list[UpdateHeader]]:
    author = Author()
    return author, [author.publish(make_vector(SIZE, seed=seed)) for seed in range(count)]


def test_a_difference_is_refused_if_the_one_before_is_missing() -> None:
    author, said = publications(3)
    reader = Author(index=2)
    assert reader.follow(author, said[0]) is not None
    assert reader.follow(author, said[2]) is None
    copy = reader.follow(author, said[1], said[2])
    assert copy is not None
    assert torch.equal(copy, author.public())


def test_a_newcomer_cannot_begin_in_the_middle_but_with_a_full_update() -> None:
    author, said = publications(3)
    reader = Author(index=2)
    assert reader.follow(author, *said[1:]) is None
    vector = make_vector(SIZE, seed=9)
    full = author.publish(vector, needs_full=True)
    after = author.publish(make_vector(SIZE, seed=10))
    assert (full.kind, after.kind, after.base) == (UpdateKind.FULL, UpdateKind.DIFFERENCE, 4)
    copy = reader.follow(author, said[2], full)
    assert copy is not None
    assert torch.equal(copy, vector)
    copy = reader.follow(author, after)
    assert copy is not None
    assert torch.equal(copy, author.public())


def test_what_is_known_is_not_added_twice() -> None:
    author, said = publications(2)
    reader = Author(index=2)
    for headers in (said[:1], said[:1], said, said, said[:1]):
        copy = reader.follow(author, *headers)
    assert copy is not None
    assert torch.equal(copy, author.public())


def test_a_new_incarnation_begins_anew() -> None:
    author, said = publications(3)
    reader = Author(index=2)
    reader.follow(author, *said)
    author.incarnation, author.sequence = 2**64 - 1, 0
    vector = make_vector(SIZE, seed=5)
    header = author.publish(vector)
    assert header.kind is UpdateKind.FULL  # the copy of another life is no start
    copy = reader.follow(author, header)
    assert copy is not None
    assert torch.equal(copy, vector)


def test_a_lost_own_copy_is_told_by_a_full_update() -> None:
    author, _ = publications(3)
    again = Author()
    again.sequence = author.sequence
    assert again.copies.own(again.place()) is None
    assert again.publish(make_vector(SIZE)).kind is UpdateKind.FULL


def test_an_own_copy_of_another_life_is_lost() -> None:
    author, _ = publications(1)
    author.incarnation += 1
    assert author.copies.own(author.place()) is None
    assert author.publish(make_vector(SIZE)).kind is UpdateKind.FULL


def test_following_changes_nothing_before_it_is_committed() -> None:
    author, said = publications(2)
    reader = Author(index=2)
    row = IntegrationRow(peer=author.peer, header=said[0], staleness=0)
    assert reader.copies.follow(row, author.decode) is not None
    assert reader.follow(author, said[1]) is None


def test_differences_that_add_up_to_infinity_are_refused() -> None:
    author, reader = Author(Float32()), Author(Float32(), 2)
    huge = torch.full((SIZE,), 3e38)
    author.publish(huge)
    author.payloads = dict.fromkeys(
        author.payloads, (UpdateKind.DIFFERENCE, Float32().encode(huge))
    )
    (payload_hash,) = author.payloads
    first = replace(
        make_header(b""), kind=UpdateKind.DIFFERENCE, author=author.peer, payload_hash=payload_hash
    )
    assert reader.follow(author, first) is not None
    with pytest.raises(CodecError, match="infinity"):
        reader.follow(author, replace(first, sequence=2, base=1))


def test_what_cannot_be_encoded_changes_nothing() -> None:
    author, _ = publications(2)
    before = author.public()
    with pytest.raises(LocalError):
        author.copies.encode(torch.full((SIZE,), torch.nan), author.place())
    assert torch.equal(author.public(), before)


def test_a_codec_that_can_lose_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="difference gossip adds up errors"):
        PublicCopies(Uniform(step_rms=2.0), SIZE)


def test_copies_are_bounded_and_those_used_longest_ago_go() -> None:
    author, said = publications(2)
    reader = Author(index=2)
    reader.follow(author, said[0])
    others = [Author(index=index) for index in range(10, 75)]
    for other in others:
        reader.follow(other, other.publish(make_vector(SIZE)))
    assert reader.follow(author, said[1]) is None
    newest = others[-1]
    assert reader.follow(newest, newest.publish(make_vector(SIZE, seed=2))) is not None


# Saving ------------------------------------------------------------------------------------


def test_a_restored_one_goes_on_where_it_was() -> None:
    author, said = publications(2)
    reader = Author(index=2)
    reader.incarnation = 2**64 - 1
    reader.publish(make_vector(SIZE, seed=3))
    reader.follow(author, said[0])
    restored = Author(index=2)
    restored.incarnation, restored.sequence = reader.incarnation, reader.sequence
    restored.copies.load_state(reader.copies.state())
    copy = restored.follow(author, said[1])
    assert copy is not None
    assert torch.equal(copy, author.public())
    vector = make_vector(SIZE, seed=4)
    assert restored.publish(vector) == reader.publish(vector)
    assert torch.equal(restored.public(), reader.public())


def with_place(name: str, vector: Tensor, place: Tensor) -> dict[str, Tensor]:
    return {name: vector, f"{name}/place": place}


@pytest.mark.parametrize(
    "state",
    [
        {"public/own": torch.zeros(SIZE)},
        with_place("public/own", torch.zeros(SIZE + 1), torch.tensor([1, 1])),
        with_place("public/own", torch.zeros(SIZE, dtype=torch.float64), torch.tensor([1, 1])),
        with_place("public/own", torch.zeros(SIZE), torch.tensor([1])),
        with_place("public/own", torch.zeros(SIZE), torch.tensor([1.0, 2.0])),
        with_place("public/of/bob", torch.zeros(SIZE), torch.tensor([1, 1])),
        with_place("public/whose", torch.zeros(SIZE), torch.tensor([1, 1])),
    ],
)
def test_another_state_is_refused(state: dict[str, Tensor]) -> None:
    copies = PublicCopies(Int4(), SIZE)
    with pytest.raises(LocalError, match="saved"):
        copies.load_state(state)
