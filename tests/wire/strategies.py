"""Hypothesis strategies for everything that travels, reaching every limit of the schema."""

from hypothesis import strategies as st
from msgspec.structs import fields

from p2pfed.identity import PeerId
from p2pfed.limits import (
    ADDRESS_BYTES_MAX,
    ADDRESSES_MAX,
    GENESIS_BYTES_MAX,
    GENESIS_FIELDS_MAX,
    GOSSIP_STEP_MAX,
    INLINE_PAYLOAD_BYTES_MAX,
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PEER_RECORDS_MAX,
    RECORD_VERSION_MAX,
    REQUEST_IDS_MAX,
    REQUEST_RANGE_MAX,
    ROUND_MAX,
    SEQUENCE_MAX,
    SIGHTINGS_MAX,
    VERSION_MAX,
)
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
    PeerRecord,
    PeerRecords,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Role,
    Sighting,
    SignedHeader,
    UpdateHeader,
    UpdateKind,
)
from p2pfed.wire import genesis, headers

digests = st.binary(min_size=32, max_size=32)
peers = digests.map(PeerId)
signatures = st.binary(min_size=64, max_size=64)
incarnations = st.integers(0, 2**64 - 1)
sequences = st.integers(1, SEQUENCE_MAX)
words = st.text("abcxyz0189-", min_size=1, max_size=NAME_BYTES_MAX)
keys = st.text("abcxyz0189-_", min_size=1, max_size=NAME_BYTES_MAX)
texts = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=("C", "Zl", "Zp")), max_size=64
)
addresses = st.text("/ip4tcp.:0", min_size=1, max_size=ADDRESS_BYTES_MAX - 1).map(
    lambda text: "/" + text
)


@st.composite
def update_headers(draw: st.DrawFn, payload_bytes: int | None = None) -> UpdateHeader:
    sequence = draw(st.one_of(st.just(1), sequences))
    kind = draw(st.sampled_from(UpdateKind))
    previous = digests.filter(any)
    return UpdateHeader(
        run_id=draw(digests),
        author=draw(peers),
        incarnation=draw(incarnations),
        sequence=sequence,
        previous=bytes(32) if sequence == 1 else draw(previous),
        kind=kind,
        base=draw(st.integers(0, sequence - 1)) if kind is UpdateKind.DIFFERENCE else 0,
        round=draw(st.integers(0, ROUND_MAX)),
        gossip_step=draw(st.integers(1, GOSSIP_STEP_MAX)),
        method=draw(words),
        codec=draw(words),
        payload_bytes=payload_bytes or draw(st.integers(1, PAYLOAD_BYTES_MAX)),
        payload_hash=draw(digests),
    )


@st.composite
def signed_headers(draw: st.DrawFn, header: UpdateHeader | None = None) -> SignedHeader:
    encoded = headers.encode_header(header or draw(update_headers()))
    return headers.decode_signed(encoded, draw(signatures))


@st.composite
def delivers(draw: st.DrawFn) -> Deliver:
    size = draw(st.sampled_from([1, 255, 256, INLINE_PAYLOAD_BYTES_MAX]))
    header = draw(update_headers(payload_bytes=size))
    return Deliver(
        update=draw(signed_headers(header)), payload=draw(st.binary(min_size=1, max_size=1)) * size
    )


@st.composite
def heads(draw: st.DrawFn) -> Heads:
    places = sorted(draw(st.sets(st.tuples(peers, incarnations), max_size=8)))
    entries = tuple(
        Head(author=author, incarnation=incarnation, sequence=draw(sequences))
        for author, incarnation in places
    )
    has_more = bool(places) and draw(st.booleans())
    return Heads(digest=draw(digests), entries=entries, cursor=places[-1] if has_more else None)


@st.composite
def heartbeats(draw: st.DrawFn) -> Heartbeat:
    places = sorted(draw(st.sets(st.tuples(peers, incarnations), max_size=SIGHTINGS_MAX)))
    sightings = tuple(
        Sighting(
            author=author,
            incarnation=incarnation,
            sequence=draw(sequences),
            update_id=draw(digests),
        )
        for author, incarnation in places
    )
    return Heartbeat(active=draw(st.booleans()), sightings=sightings)


@st.composite
def request_ranges(draw: st.DrawFn) -> RequestRange:
    first = draw(sequences)
    last = draw(st.integers(first, min(first + REQUEST_RANGE_MAX - 1, SEQUENCE_MAX)))
    return RequestRange(author=draw(peers), incarnation=draw(incarnations), first=first, last=last)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    one = draw(update_headers())
    changed = {field.name: getattr(one, field.name) for field in fields(one)}
    changed["payload_hash"] = draw(digests.filter(lambda digest: digest != one.payload_hash))
    pair = [draw(signed_headers(one)), draw(signed_headers(UpdateHeader(**changed)))]
    first, second = sorted(pair, key=lambda signed: signed.update_id)
    return Evidence(first=first, second=second)


peer_records = st.builds(
    PeerRecord,
    peer=peers,
    run_id=digests,
    version=st.integers(1, RECORD_VERSION_MAX),
    addresses=st.lists(addresses, max_size=ADDRESSES_MAX).map(tuple),
    signature=signatures,
)
genesis_fields = st.dictionaries(
    keys, st.binary(min_size=8, max_size=8), max_size=GENESIS_FIELDS_MAX
).map(lambda table: tuple(table.items()))
hellos = st.builds(
    Hello,
    version=st.integers(1, VERSION_MAX),
    run_id=digests,
    genesis_bytes=st.integers(1, GENESIS_BYTES_MAX),
    genesis_fields=genesis_fields,
    incarnation=incarnations,
    role=st.sampled_from(Role),
    software=texts,
    newest_of_yours=st.none() | st.tuples(incarnations, sequences),
)

messages = st.one_of(
    hellos,
    st.builds(Announce, update=signed_headers()),
    delivers(),
    heads(),
    st.builds(
        RequestUpdates,
        update_ids=st.lists(digests, min_size=1, max_size=REQUEST_IDS_MAX, unique=True).map(tuple),
    ),
    request_ranges(),
    st.builds(RequestFull, author=peers),
    st.builds(RequestHeads, after=st.none() | st.tuples(peers, incarnations)),
    heartbeats(),
    evidences(),
    st.builds(PeerRecords, records=st.lists(peer_records, max_size=PEER_RECORDS_MAX).map(tuple)),
    st.builds(Goodbye, reason=st.sampled_from(GoodbyeReason), text=texts),
)

floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**53) + 1, 2**53 - 1)
claims = st.dictionaries(keys, st.booleans() | integers | floats, max_size=12)
sides = st.dictionaries(
    words.filter(lambda word: word not in ("main", "claims")), st.binary(max_size=300), max_size=13
)

constants = st.dictionaries(
    keys, st.booleans() | integers | floats | texts | st.lists(texts, max_size=4).map(tuple)
)
components = st.builds(genesis.Component, name=words, constants=constants)
parameters = st.builds(
    genesis.ParameterEntry,
    name=texts.filter(bool),
    shape=st.lists(st.integers(1, 50), max_size=8).map(tuple),
    dtype=words,
)
admissions = st.one_of(
    st.just(genesis.Admission()),
    st.builds(genesis.Admission, rule=st.just("pre-shared-key"), key_hash=digests),
    st.builds(
        genesis.Admission,
        rule=st.just("certificate"),
        keys=st.sets(digests, min_size=1, max_size=4).map(lambda found: tuple(sorted(found))),
    ),
)
geneses = st.builds(
    genesis.Genesis,
    name=texts.filter(bool),
    seed=st.integers(0, 2**53 - 1),
    task=texts.filter(bool),
    base_model=digests,
    parameters=st.lists(parameters, max_size=6, unique_by=lambda entry: entry.name).map(tuple),
    initial=st.builds(genesis.Initial, kind=st.sampled_from(["portable", "given"]), digest=digests),
    method=components,
    codec=components,
    section_bytes_max=st.dictionaries(
        words.filter(lambda word: word != "claims"), st.integers(1, 2**32 - 1), max_size=12
    ).map(lambda table: {**table, "main": 1_000}),
    admission=admissions,
)
