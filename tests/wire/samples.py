"""One example of everything that travels, built by hand: the golden files hold these."""

from typing import Final

from msgspec.structs import replace

from p2pfed.identity import Identity, PeerId
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Goodbye,
    GoodbyeReason,
    Head,
    Heads,
    Heartbeat,
    Hello,
    Message,
    PeerRecords,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Role,
    Sighting,
    UpdateHeader,
    UpdateKind,
)
from p2pfed.wire import genesis, headers
from p2pfed.wire.hashes import content_hash
from p2pfed.wire.payload import encode_payload

ALICE: Final = Identity(bytes(range(32)))
BOB: Final = Identity(bytes(range(32, 64)))
RUN_ID: Final = bytes.fromhex("a5" * 32)
INCARNATION: Final = 0x0123456789ABCDEF

PAYLOAD: Final = encode_payload(
    bytes(range(40)),
    {"degree": 4, "examples": 1200, "loss": 0.75, "relay": False},
    {"gram": b"\x01\x02\x03"},
)
SECTION_BYTES_MAX: Final = {"main": 1_000_000, "gram": 64}

FIRST_HEADER: Final = UpdateHeader(
    run_id=RUN_ID,
    author=ALICE.peer,
    incarnation=INCARNATION,
    sequence=1,
    previous=bytes(32),
    kind=UpdateKind.FULL,
    base=0,
    round=0,
    gossip_step=1,
    method="lora",
    codec="bfloat16",
    payload_bytes=len(PAYLOAD),
    payload_hash=content_hash(PAYLOAD),
)
FIRST: Final = headers.sign(FIRST_HEADER, ALICE)

DIFFERENCE_HEADER: Final = replace(
    FIRST_HEADER,
    sequence=300,
    previous=bytes.fromhex("5a" * 32),
    kind=UpdateKind.DIFFERENCE,
    base=299,
    round=70_000,
    gossip_step=2,
    payload_bytes=5_000_000_000,
)
DIFFERENCE: Final = headers.sign(DIFFERENCE_HEADER, ALICE)
FORK: Final = headers.sign(replace(DIFFERENCE_HEADER, round=70_001), ALICE)
EVIDENCE: Final = Evidence(
    first=min(DIFFERENCE, FORK, key=lambda signed: signed.update_id),
    second=max(DIFFERENCE, FORK, key=lambda signed: signed.update_id),
)

RECORD: Final = headers.sign_record(
    run_id=RUN_ID,
    version=1_764_000_000_000,
    addresses=("/ip4/192.0.2.7/tcp/4001", "/dns4/peer.example/tcp/4001"),
    identity=BOB,
)

GENESIS: Final = genesis.Genesis(
    name="Example run",
    seed=20_250_101,
    task="package.module:factory",
    base_model=content_hash(b"base"),
    parameters=(
        genesis.ParameterEntry(name="encoder.query.lora_A", shape=(8, 384), dtype="float32"),
        genesis.ParameterEntry(name="encoder.query.lora_B", shape=(384, 8), dtype="float32"),
        genesis.ParameterEntry(name="scale", shape=(), dtype="bfloat16"),
    ),
    initial=genesis.Initial(kind="portable", digest=content_hash(b"initial")),
    method=genesis.Component(
        name="lora",
        constants={"alpha": 16.0, "freeze_a": False, "rank": 8, "targets": ("query", "value")},
    ),
    codec=genesis.Component(name="int8", constants={"rounding": "stochastic"}),
    section_bytes_max=SECTION_BYTES_MAX,
    admission=genesis.Admission(rule="certificate", keys=tuple(sorted((ALICE.peer, BOB.peer)))),
)

_PEERS: Final = sorted((ALICE.peer, BOB.peer))

MESSAGES: Final[dict[str, Message]] = {
    "hello": Hello(
        version=1,
        run_id=RUN_ID,
        genesis_bytes=2_000,
        genesis_fields=(("format", bytes(8)), ("base_model", bytes(range(8)))),
        incarnation=INCARNATION,
        role=Role.TRAIN,
        software="p2pfed 0.1.0",
        newest_of_yours=(2**64 - 1, 12),
    ),
    "hello-stranger": Hello(
        version=1,
        run_id=RUN_ID,
        genesis_bytes=2_000,
        genesis_fields=(),
        incarnation=0,
        role=Role.RELAY,
        software="",
        newest_of_yours=None,
    ),
    "announce": Announce(update=DIFFERENCE),
    "deliver": Deliver(update=FIRST, payload=PAYLOAD),
    "heads": Heads(
        digest=content_hash(b"heads"),
        entries=(
            Head(author=_PEERS[0], incarnation=1, sequence=9),
            Head(author=_PEERS[0], incarnation=2, sequence=1),
            Head(author=_PEERS[1], incarnation=INCARNATION, sequence=2**53 - 1),
        ),
        cursor=(_PEERS[1], INCARNATION),
    ),
    "heads-opening": Heads(digest=content_hash(b"heads"), entries=(), cursor=None),
    "request-updates": RequestUpdates(update_ids=(FORK.update_id, FIRST.update_id)),
    "request-range": RequestRange(author=ALICE.peer, incarnation=INCARNATION, first=237, last=300),
    "request-full": RequestFull(author=ALICE.peer),
    "request-heads": RequestHeads(after=(PeerId(ALICE.peer), INCARNATION)),
    "request-heads-first": RequestHeads(after=None),
    "heartbeat": Heartbeat(
        active=True,
        sightings=(
            Sighting(author=_PEERS[0], incarnation=5, sequence=7, update_id=content_hash(b"7")),
            Sighting(author=_PEERS[1], incarnation=5, sequence=8, update_id=content_hash(b"8")),
        ),
    ),
    "heartbeat-idle": Heartbeat(active=False, sightings=()),
    "evidence": EVIDENCE,
    "peer-records": PeerRecords(records=(RECORD,)),
    "goodbye": Goodbye(reason=GoodbyeReason.GENESIS_MISMATCH, text="rank: 8 here, 16 there"),
}
