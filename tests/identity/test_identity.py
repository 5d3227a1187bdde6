"""The key on disk, and the PeerID that libp2p makes of it."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import ConfigError, LocalError, SignatureError
from p2pfed.identity import Identity, PeerId, format_peer_id, parse_peer_id, verify

ROOT = Path(__file__).parents[2]
SEED = bytes(range(32))
ALICE = Identity(SEED)
TEXT = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"


def test_public_key_is_that_of_the_rfc() -> None:
    # RFC 8032, section 7.1, test 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert Identity(seed).peer.hex() == key
    signature = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert Identity(seed).sign(b"").hex() == signature


@pytest.mark.parametrize("seed", [SEED, bytes(32), b"\xff" * 32], ids=["count", "zero", "ones"])
def test_peer_id_is_that_of_libp2p(seed: bytes) -> None:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    public_key = create_new_key_pair(seed).public_key
    assert Identity(seed).peer == public_key.to_bytes()
    assert Identity(seed).text == ID.from_pubkey(public_key).to_base58()
    assert parse_peer_id(ID.from_pubkey(public_key).to_base58()) == Identity(seed).peer


@given(st.binary(min_size=32, max_size=32))
def test_text_round_trip(key: bytes) -> None:
    text = format_peer_id(PeerId(key))
    assert text.startswith("12D3KooW")
    assert parse_peer_id(text) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base58: 0OIl",
        "ü",
        TEXT[:-1],
        TEXT + "x",
        TEXT + "\n",
        " " + TEXT,
        "1" + TEXT,
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "bafzaajaiaejcbrqrkxhogvgj2yjvpdhgwexj2c3mdvmtdpo2dmqzm7u7ncdnnyo3",
    ],
    ids=lambda text: text[:20],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(LocalError):
        parse_peer_id(text)


def test_key_of_another_type_is_told_from_a_typing_error() -> None:
    with pytest.raises(LocalError, match="not the PeerID of an Ed25519 key"):
        parse_peer_id("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    with pytest.raises(LocalError, match="not a base58 PeerID"):
        parse_peer_id("12D3KooW0")


def test_long_text_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(LocalError, match="at most 64 characters, not 1000000"):
        parse_peer_id("2" * 1_000_000)  # decoding it takes many seconds


def test_the_text_that_those_change_is_accepted() -> None:
    assert parse_peer_id(TEXT) == bytes.fromhex(
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    )


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(LocalError, match=f"not {size}"):
        Identity(bytes(size))


def test_created_identities_differ() -> None:
    assert Identity.create().peer != Identity.create().peer


def test_signature_verifies() -> None:
    signature = ALICE.sign(b"message")
    assert len(signature) == 64
    verify(ALICE.peer, b"message", signature)


@pytest.mark.parametrize(
    ("peer", "message", "signature"),
    [
        (ALICE.peer, b"massage", ALICE.sign(b"message")),
        (Identity(bytes(32)).peer, b"message", ALICE.sign(b"message")),
        (ALICE.peer, b"message", bytes(64)),
        (ALICE.peer, b"message", b""),
        (ALICE.peer, b"message", ALICE.sign(b"message") + b"\x00"),
        (PeerId(bytes(31)), b"message", ALICE.sign(b"message")),
        (PeerId(b"\xff" * 32), b"message", ALICE.sign(b"message")),
    ],
    ids=["message", "key", "zero", "empty", "long", "short key", "no point"],
)
def test_wrong_signature_is_refused(peer: PeerId, message: bytes, signature: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(peer, message, signature)


def test_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    made = Identity.load_or_create(path)
    assert path.read_bytes() == made.seed
    assert Identity.load_or_create(path).peer == made.peer
    assert os.listdir(tmp_path) == ["identity"]


def test_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    before = os.umask(0)
    try:
        Identity.load_or_create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity"
    Identity.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Identity.load_or_create(path)


@pytest.mark.parametrize("size", [0, 31, 33, 1_000])
def test_file_of_another_size_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "identity"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a 32-byte seed"):
        Identity.load_or_create(path)
    assert path.stat().st_size == size


def test_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="identity"):
        Identity.load_or_create(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "identity"
    with pytest.raises(ConfigError, match="missing"):
        Identity.load_or_create(path)


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="No such file"):
        Identity.load_or_create(path)


def test_threads_that_start_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: Identity.load_or_create(path).peer, range(64)))
    assert set(found) == {Identity(path.read_bytes()).peer}
    assert os.listdir(tmp_path) == ["identity"]


@pytest.mark.slow
def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    program = (
        "import sys; from pathlib import Path; from p2pfed.identity import Identity; "
        "sys.stdin.read(); print(Identity.load_or_create(Path(sys.argv[1])).text)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(4)
    ]
    for process in processes:  # all wait for the end of their input, and then race
        assert process.stdin is not None
        process.stdin.close()
    texts = set()
    for process in processes:
        assert process.stdout is not None
        with process.stdout:
            texts.add(process.stdout.read().strip())
        assert process.wait(timeout=60) == 0
    assert texts == {Identity(path.read_bytes()).text}
