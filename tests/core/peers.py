"""Identities, configurations, cores and updates for tests of the core."""

from p2pfed.core.config import (
    CoreConfig,
    MembershipConfig,
    NeighborAddress,
    ParticipationConfig,
    ScheduleConfig,
    ScheduleMode,
    StandingConfig,
)
from p2pfed.core.events import PayloadReference
from p2pfed.core.peer import PeerCore
from p2pfed.identity import Identity, PeerId
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX, PROTOCOL_VERSION, Limits
from p2pfed.messages import Hello, Role, SignedHeader, UpdateHeader, UpdateKind
from p2pfed.wire import headers
from p2pfed.wire.hashes import content_hash
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy

# In ascending order of peer, as rows and sightings are.
ANNA, BERT, CARL, DORA = sorted(
    (Identity(bytes([number]) * 32) for number in range(1, 5)), key=lambda one: one.peer
)
RUN_ID = content_hash(b"genesis")
GENESIS_FIELDS = (("format", b"f" * 8), ("seed", b"s" * 8), ("method", b"m" * 8))
START_S = 1_000.0
LIFE = 7  # the incarnation under which the others sign

REMEMBERED_MAX = 100
# Neighbors earn their share, and everything that depends on that is on.
EARNING = StandingConfig(
    policy=ReputationPolicy(peers_max=REMEMBERED_MAX),
    loss_gate=LossGatePolicy(origins_max=REMEMBERED_MAX),
    groups_by_address=True,
    has_quotas=True,
)
ROUNDS = ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, rounds_max=3)


def address_of(identity: Identity) -> str:
    return f"/ip4/192.0.2.{identity.peer[0]}/tcp/4001"


def make_config(
    *,
    neighbors: tuple[Identity, ...] = (BERT,),
    schedule: ScheduleConfig | None = None,
    membership: MembershipConfig | None = None,
    limits: Limits | None = None,
    role: Role = Role.TRAIN,
    standing: StandingConfig | None = None,
    participation: ParticipationConfig | None = None,
    prioritizer_rows_max: int | None = None,
) -> CoreConfig:
    edges = tuple(
        NeighborAddress(peer=identity.peer, addresses=(address_of(identity),))
        for identity in neighbors
    )
    return CoreConfig(
        run_id=RUN_ID,
        genesis_bytes=len(b"genesis"),
        genesis_fields=GENESIS_FIELDS,
        method="full",
        codec="float32",
        payload_bytes_max=1_000_000,
        role=role,
        schedule=schedule or ScheduleConfig(rounds_max=3),
        membership=membership or MembershipConfig(neighbors=edges),
        limits=limits or Limits(),
        standing=standing,
        participation=participation,
        prioritizer_rows_max=prioritizer_rows_max,
    )


def make_core(
    config: CoreConfig | None = None,
    *,
    identity: Identity = ANNA,
    entropy: bytes = b"first life",
    records: dict[str, bytes] | None = None,
) -> PeerCore:
    return PeerCore(config or make_config(), identity, entropy=entropy, records=records)


def make_payload(data: bytes, *, inline: bool = True) -> PayloadReference:
    is_inline = inline and len(data) <= INLINE_PAYLOAD_BYTES_MAX
    return PayloadReference(
        content_hash=content_hash(data),
        size_bytes=len(data),
        inline=data if is_inline else None,
    )


def make_update(
    author: Identity,
    sequence: int = 1,
    *,
    payload: bytes = b"row",
    round_number: int = 0,
    incarnation: int = LIFE,
    run_id: bytes = RUN_ID,
    method: str = "full",
    payload_bytes: int | None = None,
    kind: UpdateKind = UpdateKind.FULL,
) -> SignedHeader:
    header = UpdateHeader(
        run_id=run_id,
        author=author.peer,
        incarnation=incarnation,
        sequence=sequence,
        previous=headers.NO_PREVIOUS if sequence == 1 else content_hash(b"%d" % sequence),
        kind=kind,
        base=sequence - 1 if kind is UpdateKind.DIFFERENCE else 0,
        round=round_number,
        gossip_step=1,
        method=method,
        codec="float32",
        payload_bytes=len(payload) if payload_bytes is None else payload_bytes,
        payload_hash=content_hash(payload),
    )
    return headers.sign(header, author)


def make_hello(
    *,
    incarnation: int = LIFE,
    run_id: bytes = RUN_ID,
    fields: tuple[tuple[str, bytes], ...] = GENESIS_FIELDS,
    version: int = PROTOCOL_VERSION,
    role: Role = Role.TRAIN,
    newest_of_yours: tuple[int, int] | None = None,
) -> Hello:
    return Hello(
        version=version,
        run_id=run_id,
        genesis_bytes=len(b"genesis"),
        genesis_fields=fields,
        incarnation=incarnation,
        role=role,
        software="p2pfed",
        newest_of_yours=newest_of_yours,
    )


def stranger(number: int) -> Identity:
    """Return one of many identities that no configuration names."""
    return Identity(b"stranger" + number.to_bytes(24, "big"))


def flip(signed: SignedHeader) -> SignedHeader:
    """Return a signed header whose signature does not verify."""
    signature = bytes([signed.signature[0] ^ 1]) + signed.signature[1:]
    return headers.decode_signed(signed.encoded, signature)


def peers_of(*identities: Identity) -> tuple[PeerId, ...]:
    return tuple(identity.peer for identity in identities)
