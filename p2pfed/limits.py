"""Every bound of the protocol and of a peer, with its unit and its reason.

The constants are part of the protocol version: changing one is a change of the wire format. The
fields of `Limits` are local: each peer may choose its own without anybody noticing.
"""

from dataclasses import dataclass
from typing import Final

PROTOCOL_VERSION: Final = 1

HASH_BYTES: Final = 32  # BLAKE3-256
PUBLIC_KEY_BYTES: Final = 32  # Ed25519
SIGNATURE_BYTES: Final = 64  # Ed25519

FRAME_BYTES_MAX: Final = 65_536  # one control frame; a page of 512 heads is 25 KiB of it
HEADER_BYTES_MAX: Final = 512  # an encoded header with the longest names takes 328
INLINE_PAYLOAD_BYTES_MAX: Final = 32_768  # leaves half a frame for header and signature
HEADS_ENTRIES_MAX: Final = 512  # 512 * 53 bytes stay well below a frame
REQUEST_IDS_MAX: Final = 64  # as many operations as an author keeps before compaction
REQUEST_RANGE_MAX: Final = 64  # the same window, named by sequence numbers
SIGHTINGS_MAX: Final = 16  # neighbors named in a heartbeat; 16 * 90 bytes
PEER_RECORDS_MAX: Final = 24  # records in one frame; with all addresses full they take 53,211
ADDRESSES_MAX: Final = 8  # addresses of one peer record
ADDRESS_BYTES_MAX: Final = 256  # a multiaddr with relay hops stays below
TEXT_BYTES_MAX: Final = 256  # human-readable reasons and software names
NAME_BYTES_MAX: Final = 64  # names of methods, codecs, sections, genesis fields
GENESIS_BYTES_MAX: Final = 4 * 1024 * 1024  # 30,000 parameter tensors of 130 bytes each
GENESIS_FIELDS_MAX: Final = 32  # top-level fields, each a digest in Hello
NEIGHBORS_MAX: Final = 256  # guess; what a run file may allow a peer
SEQUENCE_MAX: Final = 2**53 - 1  # exact in every language's number type
ROUND_MAX: Final = 2**53 - 1  # the same
PAYLOAD_BYTES_MAX: Final = 2**53 - 1  # the same; each peer's own limit is far lower
RECORD_VERSION_MAX: Final = 2**53 - 1  # the same; milliseconds since 1970 fit
GOSSIP_STEP_MAX: Final = 65_535  # far more than any mixing needs in one round
VERSION_MAX: Final = 65_535  # protocol versions that a Hello can name
LIVES_PER_AUTHOR_MAX: Final = 8  # of one author in a ledger: guess, lost disks per run
CLAIMS_BYTES_MAX: Final = 4_096  # self-reported numbers, not data
SECTIONS_MAX: Final = 15  # of a payload; the longest map with a one-byte msgpack header
SECTION_BYTES_MAX: Final = 2**32 - 1  # the longest byte string of msgpack
SEED_MAX: Final = 2**53 - 1  # exact in every language's number type
GENESIS_FIELD_BYTES_MAX: Final = 65_536  # one top-level field, parameters aside
PARAMETERS_MAX: Final = 32_768  # tensors; as many as the genesis has room for
PARAMETER_BYTES_MAX: Final = 512  # one tensor's name, shape and dtype
DIMENSIONS_MAX: Final = 8  # torch's own operators stop at few more
CONSTANTS_MAX: Final = 64  # of one method or codec; the largest known has a dozen
CONSTANT_WORDS_MAX: Final = 256  # texts in one list, such as names of target modules
ADMISSION_KEYS_MAX: Final = 256  # keys that may sign memberships

# Of the simulator, and no part of the protocol: ten times what `make bench-sim` measures.
SIMULATED_PEERS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Local bounds of one peer.

    Attributes:
        neighbors_max: Neighbors, the configured ones included; strangers beyond it are refused.
        payload_bytes_max: Largest payload that is fetched, in bytes; the genesis may say less.
        payload_store_bytes_max: Payload bytes kept by the driver, in bytes.
        updates_per_author_max: Usable or pending updates kept per author; a synchronous
            neighbor is at most one round ahead, so three hold every round that can matter.
        differences_per_author_max: The same where updates are differences, each of which builds on
            the one before; whoever misses more gets a full update.
        operations_per_author_max: The same for a log, of an author in one life, which everybody
            keeps back to the latest snapshot; who went without one for longer has to send one
            before it goes on.
        log_authors_max: Authors whose logs are kept, beside neighbors. Models of peers may differ
            where there are more: a peer says so.
        headers_per_author_max: Headers remembered per author to detect equivocation; of a log as
            many of what was integrated, and of what was not.
        incarnations_per_author_max: Incarnations remembered per author.
        authors_max: Authors remembered; beyond it the one heard of longest ago is forgotten.
        known_peers_max: Peer records remembered for dialing.
        fetches_per_peer_max: Payload transfers in progress from one peer.
        fetches_max: Payload transfers in progress altogether.
        fetch_attempts_max: Attempts at one payload before its update is given up.
        uploads_per_peer_max: Payload transfers in progress to one peer.
        stranger_uploads_max: Payload transfers in progress to peers that are no neighbors:
            newcomers that fetch the genesis.
        validations_max: Validation jobs under way, at most one of them per author.
        frames_per_s_max: Frames accepted from one neighbor, per second, averaged.
        frames_burst_max: Frames accepted from one neighbor at once.
        answer_bytes_per_s_max: Bytes of answers to one neighbor's requests, per second, averaged.
        answer_bytes_burst_max: Bytes of answers to one neighbor's requests at once.
        offences_max: Offences after which a peer is banned.
        offence_memory_s: Time after which one offence is forgiven, in seconds.
        effects_per_event_max: Effects that one event may cause.
        memory_bytes_max: Memory that the core's own state may take, in bytes.
    """

    neighbors_max: int = 64  # a phone's file descriptors and a laptop's upload both stand it
    payload_bytes_max: int = 1 << 30  # LoRA of a 70 B model in float32 is about that
    payload_store_bytes_max: int = 4 << 30  # four of the largest
    updates_per_author_max: int = 3
    differences_per_author_max: int = 16  # guess: a slow peer's round lasts as long as 16 fast ones
    operations_per_author_max: int = 64  # DESIGN: the window kept before compaction
    log_authors_max: int = 256  # guess: 2 MB of headers and inline operations each, in every life
    headers_per_author_max: int = 64  # DESIGN: the window kept before compaction
    incarnations_per_author_max: int = 8  # guess: lost disks per run
    authors_max: int = 4_096  # two per node of the largest network simulated on one machine
    known_peers_max: int = 64  # guess: twice a view of 30, as of gossip-based peer sampling
    fetches_per_peer_max: int = 2  # measured: one long transfer fills a loopback connection
    # Peers that publish together are announced one after the other: with fewer, all of them begin
    # with the same few, whose lines are full while the others' idle.
    fetches_max: int = 16  # measured: 16 peers share their updates in half the time that 8 took
    fetch_attempts_max: int = 5  # guess
    uploads_per_peer_max: int = 4
    stranger_uploads_max: int = 16  # guess: 64 MiB of the largest genesis
    validations_max: int = 8  # guess: more than a laptop has threads for
    frames_per_s_max: float = 200.0  # guess: 100 times a busy neighbor
    frames_burst_max: int = 2_000  # a reconnect after a long absence
    answer_bytes_per_s_max: float = 262_144.0  # guess: eight inline updates a second
    answer_bytes_burst_max: int = 2 << 20  # an inline update of each of 64 neighbors
    offences_max: int = 3  # a single bit flip on a broken machine is forgiven, a habit is not
    offence_memory_s: float = 600.0  # guess: three in half an hour are a habit
    effects_per_event_max: int = 1_024  # 64 neighbors with a dozen effects each
    memory_bytes_max: int = 64 << 20  # 4,096 authors with a header each, 64 of them with 64 and
    # sixteen inline payloads, are below 48 MiB
