"""Peers of a ledger by hand: their run files, what they signed, and who was told what."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace
from torch import Tensor

from p2pfed.config.files import parse
from p2pfed.config.learning import Assembly, assemble
from p2pfed.core.effects import IntegrationRow, OwnPlace, StartIntegration, StartTraining
from p2pfed.identity import Identity, PeerId
from p2pfed.learn.jobs import IntegrationOutcome, TrainingOutcome, never
from p2pfed.learn.ledger_bench import LedgerBench
from p2pfed.learn.ledger_entries import Entry, encode_entry
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.log import Snapshot, Writer
from p2pfed.updates.seed_ledger import operation as operations
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.wire.payload import decode_payload
from tests.learn.peers import make_header

LIFE = 2**64 - 3

# Of each method: constants, codec, and learning rate of SGD.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "adapter-set": ({"rank": 4}, {"name": "operation"}, 0.3),
    "projected": ({"direction_count": 256}, {"name": "operation"}, 0.3),
    "seeds": ({"direction_count": 256}, {"name": "operation"}, 0.02),
    "sparse-sum": ({"peer_count": 3}, {"name": "sparse", "chunk": 256, "kept": 16}, 0.3),
}


def make_ledger_assembly(
    name: str,
    index: int,
    *,
    count: int = 3,
    tables: Mapping[str, Any] | None = None,
    entropy: bytes | None = None,
    **constants: Any,
) -> Assembly:
    always, codec, rate = KINDS[name]
    config = parse(
        {
            "run": {"task": "digits", "seed": 3},
            "method": {"name": name, **always, **constants},
            "codec": codec,
            "training": {
                "steps_per_round": 5,
                "device": "cpu",
                "step_rule": {"name": "sgd", "learning_rate": rate},
            },
            "share": {"index": index, "count": count},
            **(tables or {}),
        }
    )
    return assemble(config, Identity(bytes([index]) * 32), entropy=entropy)


class LedgerPeer:
    """One peer and its core: signs what the bench makes, and keeps its whole log.

    Attributes:
        said: Its updates, of all its lives.
        sequence: Of its newest update in this life.
    """

    payloads: dict[bytes, bytes]

    def __init__(
        self, payloads: dict[bytes, bytes], name: str = "seeds", index: int = 0, **constants: Any
    ) -> None:
        self.name = name
        self.identity = Identity(bytes([index]) * 32)
        self.remake = lambda: make_ledger_assembly(name, index, **constants).bench
        self.bench: LedgerBench = self.remake()
        self.payloads = payloads
        self.said: list[UpdateHeader] = []
        self.incarnation = LIFE
        self.sequence = 0
        self.round = 0

    def place(self, *, needs_full: bool = False) -> OwnPlace:
        return OwnPlace(incarnation=self.incarnation, sequence=self.sequence, needs_full=needs_full)

    def train(self, *, needs_full: bool = False, train: bool = True) -> TrainingOutcome:
        effect = StartTraining(
            job=1,
            round=self.round,
            train=train,
            degree=2,
            own=self.place(needs_full=needs_full),
        )
        return self.bench.train(effect)

    def sign(self, outcome: TrainingOutcome) -> UpdateHeader:
        self.sequence += 1
        header = replace(
            make_header(outcome.payload, codec=KINDS[self.name][1]["name"]),
            author=self.identity.peer,
            incarnation=self.incarnation,
            sequence=self.sequence,
            kind=UpdateKind.SNAPSHOT if outcome.is_full else UpdateKind.OPERATION,
            method=self.name,
            round=self.round,
        )
        self.payloads[header.payload_hash] = outcome.payload
        self.said.append(header)
        self.round += 1
        return header

    def publish(self, **how: bool) -> UpdateHeader:
        return self.sign(self.train(**how))

    def integrate(
        self,
        *chains: list[UpdateHeader],
        evaluate: bool = False,
        test: bool = False,
        frozen: tuple[PeerId, ...] = (),
        last_lives: tuple[tuple[PeerId, int], ...] = (),
        should_stop: Callable[[], bool] = never,
    ) -> IntegrationOutcome:
        """Take in one chain of updates of each author."""
        rows = [
            IntegrationRow(
                peer=chain[-1].author, header=chain[-1], staleness=0, before=tuple(chain[:-1])
            )
            for chain in chains
        ]
        effect = StartIntegration(
            job=2,
            round=self.round,
            rows=tuple(sorted(rows, key=lambda row: row.peer)),
            degree=2,
            evaluate=evaluate,
            test=test,
            own=self.place(),
            frozen=frozen,
            last_lives=last_lives,
        )
        return self.bench.integrate(effect, self.payloads.__getitem__, should_stop)

    def restart(self, saved: bytes) -> None:
        self.bench = self.remake()
        self.bench.load(saved)


def make_peers(name: str = "seeds", count: int = 3, **constants: Any) -> list[LedgerPeer]:
    payloads: dict[bytes, bytes] = {}
    return [LedgerPeer(payloads, name, index, count=count, **constants) for index in range(count)]


def model_of(peer: LedgerPeer) -> Tensor:
    return peer.bench.ledger.materialize(peer.bench.initial)


def log_of(peer: LedgerPeer) -> Any:
    return peer.bench.ledger.log(Writer(peer.identity.peer, peer.incarnation))


def main_of(payload: bytes) -> bytes:
    sections = decode_payload(payload, section_bytes_max={"main": 10**6})
    assert sections.claims == {}
    return sections.main


def operation_in(payload: bytes, terms: Terms) -> Operation:
    return operations.decode(main_of(payload), terms)


def reasons(outcome: IntegrationOutcome) -> list[str]:
    return [verdict.reason for verdict in outcome.verdicts]


def sign_entry(peer: LedgerPeer, entry: Entry, sequence: int, **changes: Any) -> UpdateHeader:
    """Return the header of an entry that a liar made up."""
    payload = encode_entry(peer.bench.ledger, entry)
    kind = UpdateKind.SNAPSHOT if isinstance(entry, Snapshot) else UpdateKind.OPERATION
    header = replace(
        make_header(payload, codec=KINDS[peer.name][1]["name"]),
        author=peer.identity.peer,
        incarnation=LIFE,
        sequence=sequence,
        kind=kind,
        method=peer.name,
        **changes,
    )
    peer.payloads[header.payload_hash] = payload
    return header
