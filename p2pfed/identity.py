"""Who a peer is: an Ed25519 key, whose public half is its libp2p PeerID.

Inside p2pfed a peer is its 32-byte public key (`PeerId`); text is for people and addresses.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import NewType, Protocol, final

import base58
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from p2pfed.errors import ConfigError, LocalError, SignatureError

PeerId = NewType("PeerId", bytes)

# libp2p peer id specification: identity multihash (00, length 24) of the protobuf-encoded
# public key (08 01 = type Ed25519, 12 20 = 32 bytes of data).
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
_PEER_ID_TEXT_MAX = 64  # those of Ed25519 keys have 52
_KEY_BYTES = 32  # Ed25519, private seed and public key alike


def format_peer_id(peer: PeerId) -> str:
    """Return the libp2p PeerID in base58, as it stands in addresses (`12D3KooW…`)."""
    return base58.b58encode(_PEER_ID_PREFIX + peer).decode("ascii")


def parse_peer_id(text: str) -> PeerId:
    """Return the peer that a libp2p PeerID names.

    Raises:
        LocalError: If the text is not the PeerID of an Ed25519 key.
    """
    if len(text) > _PEER_ID_TEXT_MAX:  # decoding takes time with the square of the length
        raise LocalError(f"a PeerID has at most {_PEER_ID_TEXT_MAX} characters, not {len(text)}")
    try:
        raw = base58.b58decode(text)
    except ValueError as error:
        raise LocalError(f"{text!r} is not a base58 PeerID") from error
    if not raw.startswith(_PEER_ID_PREFIX) or len(raw) != len(_PEER_ID_PREFIX) + _KEY_BYTES:
        raise LocalError(f"{text!r} is not the PeerID of an Ed25519 key")
    peer = PeerId(raw[len(_PEER_ID_PREFIX) :])
    if format_peer_id(peer) != text:  # base58 forgives spaces at the end
        raise LocalError(f"{text!r} is not a base58 PeerID")
    return peer


def verify(peer: PeerId, message: bytes, signature: bytes) -> None:
    """Check a signature of a peer.

    Raises:
        SignatureError: If it does not verify, or the key or signature is malformed.
    """
    try:
        VerifyKey(bytes(peer)).verify(message, signature)
    except (BadSignatureError, ValueError) as error:
        raise SignatureError(f"signature of {peer.hex()[:8]} does not verify") from error


class Signer(Protocol):
    """What the protocol needs of a private key."""

    @property
    def peer(self) -> PeerId:
        """Whose key it is."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message."""
        ...

    def secret_number(self, purpose: str) -> int:
        """Derive a number in [0, 2^63) that nobody without the private key can predict."""
        ...


@final
class Identity:
    """The private key of this peer.

    Args:
        seed: The 32-byte Ed25519 seed.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise LocalError(f"an Ed25519 seed has 32 bytes, not {len(seed)}")
        self._key = SigningKey(seed)
        self.seed = seed
        self.peer = PeerId(bytes(self._key.verify_key))

    @property
    def text(self) -> str:
        """The libp2p PeerID in base58."""
        return format_peer_id(self.peer)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message."""
        return self._key.sign(message).signature

    def secret_number(self, purpose: str) -> int:
        """Derive a number in [0, 2^63) that nobody without the private key can predict."""
        digest = hashlib.blake2b(purpose.encode(), key=self.seed, digest_size=8).digest()
        return int.from_bytes(digest) >> 1

    @classmethod
    def create(cls) -> "Identity":
        """Make a new identity from the operating system's entropy."""
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def load_or_create(cls, path: Path) -> "Identity":
        """Read the identity at `path`, or make one there with mode 0600.

        Of several processes that start at once, one makes the identity and all get the same. The
        file appears whole or not at all, even when the machine stops in between.

        Raises:
            ConfigError: If the file is not a 32-byte seed, others may read it, or it can neither
                be read nor made.
        """
        try:
            if not os.path.lexists(path):
                cls.create()._write(path)
            return cls._load(path)
        except OSError as error:
            fix = f"{error.strerror or error}; name a file in a folder that can be written"
            raise ConfigError("identity", str(path), fix) from error

    def _write(self, path: Path) -> None:
        """Put the seed at `path` unless something is there by then."""
        descriptor, temporary = tempfile.mkstemp(prefix=".identity-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.seed)
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link never replaces the file of another process.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def _load(cls, path: Path) -> "Identity":
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            seed = file.read(_KEY_BYTES + 1)
        if mode & 0o077:
            raise ConfigError("identity", str(path), f"others can read it; run: chmod 600 {path}")
        if len(seed) != _KEY_BYTES:
            size = f"{len(seed)} bytes" if len(seed) <= _KEY_BYTES else "more"
            raise ConfigError(
                "identity", str(path), f"holds {size}, not a {_KEY_BYTES}-byte seed; restore it"
            )
        return cls(seed)
