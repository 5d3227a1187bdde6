"""What is signed: update headers and peer records, with the libp2p identity key.

The key signs other things too (libp2p's own handshake), so each signature covers a prefix that
names its purpose, then the canonical encoding of what is signed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from p2pfed.errors import LocalError, RemoteError, SchemaError
from p2pfed.identity import PeerId, Signer
from p2pfed.identity import verify as verify_signature
from p2pfed.limits import (
    ADDRESSES_MAX,
    GOSSIP_STEP_MAX,
    HASH_BYTES,
    HEADER_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    RECORD_VERSION_MAX,
    ROUND_MAX,
    SEQUENCE_MAX,
    SIGNATURE_BYTES,
)
from p2pfed.messages import PeerRecord, SignedHeader, UpdateHeader, UpdateKind
from p2pfed.wire import canonical, schema
from p2pfed.wire.hashes import content_hash

UPDATE_PREFIX: Final = b"p2pfed-update-1\x00"
RECORD_PREFIX: Final = b"p2pfed-record-1\x00"
NO_PREVIOUS: Final = bytes(HASH_BYTES)  # `previous` of the first update of an incarnation

# The same header comes from every neighbor that passes it on, and is looked at when it is signed,
# sent and saved. Remembered are as many as 1.5 MB hold.
_HEADERS_KEPT: Final = 1_024

_KINDS: Final = {kind.value: kind for kind in UpdateKind}


def update_id(encoded: bytes) -> bytes:
    """Return the id of the update with this encoded header, 32 bytes."""
    return content_hash(encoded)


def encode_header(header: UpdateHeader) -> bytes:
    """Return the canonical encoding of a header.

    Raises:
        LocalError: If the header breaks a rule of the schema.
    """
    fields = [
        header.run_id,
        header.author,
        header.incarnation,
        header.sequence,
        header.previous,
        header.kind.value,
        header.base,
        header.round,
        header.gossip_step,
        header.method,
        header.codec,
        header.payload_bytes,
        header.payload_hash,
    ]
    encoded = canonical.pack(fields)
    try:
        decode_header(encoded)
    except RemoteError as error:
        raise LocalError(f"cannot sign this header: {error}") from error
    return encoded


def decode_header(encoded: bytes) -> UpdateHeader:
    """Read an encoded header.

    Raises:
        RemoteError: If it is not the canonical encoding of a header.
    """
    return _decoded_header(encoded)


def decode_signed(encoded: bytes, signature: bytes) -> SignedHeader:
    """Read an encoded header with its signature, which is not verified here.

    Raises:
        RemoteError: If the header is none, or the signature has another length.
    """
    return SignedHeader(
        header=decode_header(schema.bytes_up_to(encoded, HEADER_BYTES_MAX, name="header")),
        encoded=encoded,
        signature=schema.exact_bytes(signature, SIGNATURE_BYTES, name="signature"),
        update_id=update_id(encoded),
    )


def sign(header: UpdateHeader, identity: Signer) -> SignedHeader:
    """Sign a header as its author.

    Raises:
        LocalError: If the header breaks a rule of the schema, or names another author.
    """
    if header.author != identity.peer:
        raise LocalError("a header is signed by its author only")
    encoded = encode_header(header)
    return SignedHeader(
        header=header,
        encoded=encoded,
        signature=identity.sign(UPDATE_PREFIX + encoded),
        update_id=update_id(encoded),
    )


def verify(signed: SignedHeader) -> None:
    """Check that the author signed the header.

    Raises:
        SignatureError: If not.
    """
    verify_signature(signed.header.author, UPDATE_PREFIX + signed.encoded, signed.signature)


def sign_record(
    *, run_id: bytes, version: int, addresses: Sequence[str], identity: Signer
) -> PeerRecord:
    """Say, signed, where this peer can be dialed.

    Args:
        run_id: The run that the peer takes part in, 32 bytes.
        version: Grows with each new record of the peer.
        addresses: Multiaddresses without the trailing PeerID, the preferred one first; none says
            that the peer cannot be dialed.
        identity: Of this peer.

    Raises:
        LocalError: If an argument breaks a rule of the schema.
    """
    signature = b""
    try:
        signed_bytes = _record_bytes(identity.peer, run_id, version, addresses)
        signature = identity.sign(RECORD_PREFIX + signed_bytes)
        return read_record([identity.peer, run_id, version, list(addresses), signature])
    except RemoteError as error:
        raise LocalError(f"cannot sign this peer record: {error}") from error


def verify_record(record: PeerRecord) -> None:
    """Check that the peer signed its record.

    Raises:
        SignatureError: If not.
    """
    encoded = _record_bytes(record.peer, record.run_id, record.version, record.addresses)
    verify_signature(record.peer, RECORD_PREFIX + encoded, record.signature)


def signed_value(signed: SignedHeader) -> list[object]:
    """Return a signed header as it stands in a frame."""
    return [signed.encoded, signed.signature]


def read_signed(value: object, *, name: str) -> SignedHeader:
    """Read a signed header of a frame.

    Raises:
        RemoteError: If it breaks a rule of the schema.
    """
    encoded, signature = schema.array(value, count=2, name=name)
    return decode_signed(
        schema.bytes_up_to(encoded, HEADER_BYTES_MAX, name=f"{name}.header"),
        schema.exact_bytes(signature, SIGNATURE_BYTES, name=f"{name}.signature"),
    )


def record_value(record: PeerRecord) -> list[object]:
    """Return a peer record as it stands in a frame."""
    return [record.peer, record.run_id, record.version, list(record.addresses), record.signature]


def read_record(value: object) -> PeerRecord:
    """Read a peer record of a frame; its signature is not verified here.

    Raises:
        RemoteError: If it breaks a rule of the schema.
    """
    peer, run_id, version, addresses, signature = schema.array(value, count=5, name="record")
    found = schema.array_up_to(addresses, ADDRESSES_MAX, name="record.addresses")
    return PeerRecord(
        peer=PeerId(schema.public_key(peer, name="record.peer")),
        run_id=schema.digest(run_id, name="record.run_id"),
        version=schema.integer(version, 1, RECORD_VERSION_MAX, name="record.version"),
        addresses=tuple([schema.address(address, name="an address") for address in found]),
        signature=schema.exact_bytes(signature, SIGNATURE_BYTES, name="record.signature"),
    )


def _record_bytes(peer: PeerId, run_id: bytes, version: int, addresses: Sequence[str]) -> bytes:
    return canonical.pack([peer, run_id, version, list(addresses)])


@lru_cache(maxsize=_HEADERS_KEPT)  # an encoding that is wrong raises, and is not remembered
def _decoded_header(encoded: bytes) -> UpdateHeader:
    return _read_header(canonical.unpack(encoded, bytes_max=HEADER_BYTES_MAX))


def _read_header(value: object) -> UpdateHeader:
    (
        run_id,
        author,
        incarnation,
        sequence,
        previous,
        kind,
        base,
        round_number,
        gossip_step,
        method,
        codec,
        payload_bytes,
        payload_hash,
    ) = schema.array(value, count=13, name="header")
    header = UpdateHeader(
        run_id=schema.digest(run_id, name="header.run_id"),
        author=PeerId(schema.public_key(author, name="header.author")),
        incarnation=schema.incarnation(incarnation, name="header.incarnation"),
        sequence=schema.integer(sequence, 1, SEQUENCE_MAX, name="header.sequence"),
        previous=schema.digest(previous, name="header.previous"),
        kind=schema.chosen(kind, _KINDS, name="header.kind"),
        base=schema.integer(base, 0, SEQUENCE_MAX, name="header.base"),
        round=schema.integer(round_number, 0, ROUND_MAX, name="header.round"),
        gossip_step=schema.integer(gossip_step, 1, GOSSIP_STEP_MAX, name="header.gossip_step"),
        method=schema.word(method, name="header.method"),
        codec=schema.word(codec, name="header.codec"),
        payload_bytes=schema.integer(
            payload_bytes, 1, PAYLOAD_BYTES_MAX, name="header.payload_bytes"
        ),
        payload_hash=schema.digest(payload_hash, name="header.payload_hash"),
    )
    if (header.previous == NO_PREVIOUS) != (header.sequence == 1):
        raise SchemaError("header.previous is zero at sequence 1 and nowhere else")
    if header.kind is UpdateKind.DIFFERENCE:
        if header.base >= header.sequence:
            raise SchemaError(f"header.base is {header.base}, not below {header.sequence}")
    elif header.base != 0:
        raise SchemaError(f"header.base is {header.base}, though it is no difference")
    return header
