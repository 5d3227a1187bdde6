"""The bytes of version 1 of the format are those of the committed files."""

from p2pfed.identity import verify
from p2pfed.wire import frames, genesis, headers
from p2pfed.wire.payload import decode_payload, encode_payload
from tests.wire import golden, samples


def test_every_message_decodes_and_encodes_to_its_file() -> None:
    for name, message in samples.MESSAGES.items():
        assert frames.decode(golden.read(name)) == message, name
        assert frames.encode(message) == golden.read(name), name


def test_every_message_has_a_file() -> None:
    messages = {type(message) for message in samples.MESSAGES.values()}
    assert messages == {form.message for form in frames.FORMS}
    assert {file.stem for file in golden.FOLDER.glob("*.hex")} == set(golden.encoded_samples())


def test_header_and_its_signature() -> None:
    encoded = golden.read("header")
    assert headers.encode_header(samples.DIFFERENCE_HEADER) == encoded
    assert headers.decode_header(encoded) == samples.DIFFERENCE_HEADER
    signature = golden.read("update-signature")
    verify(samples.ALICE.peer, b"p2pfed-update-1\x00" + encoded, signature)
    assert headers.sign(samples.DIFFERENCE_HEADER, samples.ALICE).signature == signature


def test_record_signature() -> None:
    verify(samples.BOB.peer, golden.read("signed-record"), samples.RECORD.signature)


def test_payload() -> None:
    data = golden.read("payload")
    found = decode_payload(data, section_bytes_max=samples.SECTION_BYTES_MAX)
    assert found.main == bytes(range(40))
    assert found.claims == {"degree": 4, "examples": 1200, "loss": 0.75, "relay": False}
    assert found.side == {"gram": b"\x01\x02\x03"}
    assert encode_payload(found.main, found.claims, found.side) == data


def test_genesis() -> None:
    data = golden.read("genesis")
    assert genesis.decode(data) == samples.GENESIS
    assert genesis.encode(samples.GENESIS) == data
    assert genesis.run_id(data).hex() == (
        "2b116ad56b99320c98442ca53e63ffb0811c40e9cea781e654c28212ec6d52b5"
    )
