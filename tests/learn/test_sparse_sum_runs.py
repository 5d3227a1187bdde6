"""The method `sparse-sum` in a run: what trains, what travels, and what waits."""

from typing import Any

import numpy as np
import pytest
import torch

from p2pfed.errors import ConfigError, LimitExceeded
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.sparse_sum.ledger import SparseSum
from tests.learn.ledger_peers import (
    KINDS,
    LedgerPeer,
    main_of,
    make_ledger_assembly,
    make_peers,
    reasons,
    sign_entry,
)

ADAPTERS: dict[str, Any] = {"targets": ["0"], "modules": ["2"], "rank": 4}


def codec_of(peer: LedgerPeer) -> Sparse:
    codec: Sparse = peer.bench.ledger.terms.codec
    return codec


def exchange_all(peers: list[LedgerPeer]) -> None:
    news = {peer.identity.peer: [peer.publish()] for peer in peers}
    for peer in peers:
        peer.integrate(*(chain for author, chain in news.items() if author != peer.identity.peer))


@pytest.mark.parametrize(
    ("constants", "size"),
    [({}, 2_410), ({"modules": ["2"]}, 330), (ADAPTERS, 330 + 4 * (64 + 32))],
    ids=["full", "modules", "adapters"],
)
def test_all_that_trains_is_one_vector(constants: dict[str, Any], size: int) -> None:
    peers = make_peers("sparse-sum", 2, **constants)
    exchange_all(peers)
    codec = codec_of(peers[0])
    assert peers[0].bench.learner.specification.size == size
    # A chunk of all tensors together, and not of each, keeps so many values.
    data = main_of(peers[0].payloads[peers[0].said[0].payload_hash])[32:]
    assert int(codec.decode(data, size).count_nonzero()) == -(-size // codec.chunk) * codec.kept
    assert peers[0].bench.digest() == peers[1].bench.digest()
    assert not torch.equal(peers[0].bench.learner.vector(), peers[0].bench.initial)


def test_an_update_has_the_bytes_of_the_formula() -> None:
    tables = {"codec": {"name": "sparse", "chunk": 256, "kept": 16, "index": "raw12"}}
    (peer,) = make_peers("sparse-sum", 1, tables=tables)
    main = main_of(peer.payloads[peer.publish().payload_hash])
    chunks = -(-2_410 // 256)
    # Digest, two magnitudes per chunk, 2 bits and 12 bits per kept value.
    assert len(main) == 32 + 4 * chunks + 16 * chunks * (2 + 12) // 8
    assert len(main) == peer.bench.ledger.operation_bytes_max


def test_a_relay_adds_nothing_and_keeps_what_waits() -> None:
    peer, other = make_peers("sparse-sum", 2)
    peer.publish()
    peer.publish(train=False)
    peer.integrate()
    assert peer.bench.exchange.training.state()["waiting"].any()
    assert reasons(other.integrate(peer.said)) == [""]
    assert other.bench.ledger.sums().any()
    (relay,) = make_peers("sparse-sum", 1)
    relay.publish(train=False)
    relay.integrate()
    assert not relay.bench.ledger.sums().any()


def test_a_late_update_counts_as_much_as_one_in_time() -> None:
    author, prompt, late = make_peers("sparse-sum")
    for _ in range(3):
        header = author.publish()
        prompt.integrate([header])
        late.publish()
    late.integrate()
    prompt.integrate(late.said)
    late.integrate(author.said)
    assert prompt.bench.digest() == late.bench.digest()


@pytest.mark.parametrize(
    "limits", [{"norm_max": 0.01}, {"budget": 0.05}], ids=["length", "one value"]
)
def test_a_liar_stays_within_the_terms(limits: dict[str, float]) -> None:
    liar, other = make_peers("sparse-sum", 2, **limits)
    exchange = liar.bench.exchange
    object.__setattr__(exchange, "before_publish", lambda difference: -1e4 * difference)
    for _ in range(3):
        liar.publish()
    assert reasons(other.integrate(liar.said)) == [""]
    terms = other.bench.ledger.terms
    assert float(np.abs(other.bench.ledger.sums()).max()) * terms.unit <= terms.budget
    moved = other.bench.learner.vector() - other.bench.initial
    assert float(moved.norm()) <= 3 * terms.norm_max / terms.peer_count * 1.001


def test_an_update_that_is_too_long_is_refused() -> None:
    liar, other = make_peers("sparse-sum", 2, norm_max=0.5)
    free = SparseSum(
        make_ledger_assembly("sparse-sum", 0, norm_max=60.0).bench.ledger.terms  # type: ignore[union-attr]
    )
    data = free.terms.codec.encode(torch.ones(free.terms.size))
    lie = free.next_operation((liar.identity.peer, 7), data)  # type: ignore[arg-type]
    header = sign_entry(liar, lie, 1)
    with pytest.raises(LimitExceeded, match=r"at most 0\.5"):
        other.bench.validate(header, liar.payloads[header.payload_hash])
    assert reasons(other.integrate([header])) == ["limit"]


@pytest.mark.parametrize(
    ("constants", "tables", "field"),
    [
        ({}, {"codec": {"name": "float32"}}, "codec.name"),
        ({}, {"codec": {"name": "sparse", "kept": 0}}, "codec.kept"),
        ({}, {"codec": {"name": "sparse", "exponent": -40}}, "method.budget"),
        ({"peer_count": 0}, {}, "method.peer_count"),
        ({"decay": 2.0}, {}, "method.decay"),
        ({"norm_max": 0}, {}, "method.norm_max"),
        ({"targets": ["0"], "rank": 0}, {}, "method.rank"),
        ({"targets": ["3"]}, {}, "method.targets"),
    ],
)
def test_mistakes_are_named(constants: dict[str, Any], tables: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_ledger_assembly("sparse-sum", 0, tables=tables, **constants)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "change", [{"peer_count": 5}, {"norm_max": 9.0}, {"outer_rate": 0.5}, {"targets": ["0"]}]
)
def test_the_terms_are_part_of_the_genesis(change: dict[str, Any]) -> None:
    run_ids = [make_ledger_assembly("sparse-sum", 0, **it).agreement.run_id for it in ({}, change)]
    assert run_ids[0] != run_ids[1]


def test_the_codec_is_part_of_the_genesis() -> None:
    made = make_ledger_assembly("sparse-sum", 0)
    described = made.agreement.genesis.codec
    assert (described.name, described.constants["kept"]) == (
        "sparse",
        KINDS["sparse-sum"][1]["kept"],
    )
