"""Multiaddresses, which come from configuration files and from peers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import LocalError
from p2pfed.identity import Identity
from p2pfed.limits import ADDRESSES_MAX
from p2pfed.node import addresses
from p2pfed.node.addresses import (
    TcpAddress,
    choose_targets,
    expand_wildcard,
    format_socket_address,
    is_loopback,
    parse_address,
)
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.testing.transport_lab import serve

IDENTITY = Identity(bytes(32))
OTHER = Identity(bytes([1]) * 32)


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/192.0.2.7/tcp/4001",
        "/ip6/2001:db8::7/tcp/1",
        "/dns/example.org/tcp/65535",
        "/dns4/peer-1.example.org./tcp/4001",
        "/dns6/a_b/tcp/4001",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{IDENTITY.text}",
    ],
)
def test_parse_and_format(text: str) -> None:
    address = parse_address(text)
    assert address.format(address.peer) == text
    assert address.peer == (IDENTITY.peer if "p2p" in text else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "192.0.2.7:4001",
        "/ip4/192.0.2.7",
        "/ip4/192.0.2.7/udp/4001",
        "/ip4/192.0.2.7/tcp/65536",
        "/ip4/192.0.2.7/tcp/-1",
        "/ip4/192.0.2.7/tcp/1_0",
        "/ip4/192.0.2.7/tcp/٤",
        "/ip4/2001:db8::7/tcp/4001",
        "/ip4/192.0.2.300/tcp/4001",
        "/ip6/fe80::1%eth0/tcp/4001",
        "/dns/-x/tcp/4001",
        "/dns/a..b/tcp/4001",
        "/dns/a b/tcp/4001",
        f"/dns/{'a' * 64}/tcp/4001",
        "/ip4/192.0.2.7/tcp/4001/p2p/Qmnonsense",
        "/ip4/192.0.2.7/tcp/4001/ws/x",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{IDENTITY.text}/p2p-circuit",
        "/ip4/192.0.2.7/tcp/4001/" + "x" * 1_000,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(LocalError):
        parse_address(text)


@given(st.text(max_size=60) | st.text("/ip4dns.:%p2tc0123456789", max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    is_loopback(text)
    targets, failures = choose_targets(IDENTITY.peer, [text])
    assert len(targets) + len(failures) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ip4/127.0.0.1/tcp/1", True),
        ("/ip4/127.9.9.9/tcp/1", True),
        ("/ip6/::1/tcp/1", True),
        ("/dns/localhost/tcp/1", True),
        ("/ip4/10.0.0.1/tcp/1", False),
        ("/dns4/example.org/tcp/1", False),
        ("nonsense", False),
    ],
)
def test_loopback(text: str, expected: bool) -> None:
    assert is_loopback(text) is expected


def test_targets_are_places_to_dial_and_the_right_peer() -> None:
    good = ["/ip4/192.0.2.7/tcp/4001", f"/ip4/192.0.2.8/tcp/4001/p2p/{OTHER.text}"]
    bad = [
        "nonsense",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{IDENTITY.text}",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip4/192.0.2.7/tcp/0",
    ]
    targets, failures = choose_targets(OTHER.peer, [*bad, *good])
    assert [target.host for target in targets] == ["192.0.2.7", "192.0.2.8"]
    assert len(failures) == len(bad)
    assert len(choose_targets(OTHER.peer, good[:1] * 100)[0]) == ADDRESSES_MAX


def test_wildcard_is_every_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public addresses first, loopback last, each once."""
    monkeypatch.setattr(
        addresses, "get_network_addrs", lambda _: ["10.0.0.1", "8.8.4.4", "10.0.0.1"]
    )
    everywhere = TcpAddress(protocol="ip4", host="0.0.0.0", port=7)  # noqa: S104 - a value
    assert [address.format() for address in expand_wildcard(everywhere)] == [
        "/ip4/8.8.4.4/tcp/7",
        "/ip4/10.0.0.1/tcp/7",
        "/ip4/127.0.0.1/tcp/7",
    ]
    one = TcpAddress(protocol="ip4", host="10.0.0.1", port=7)
    assert expand_wildcard(one) == [one]


def test_socket_addresses() -> None:
    assert format_socket_address("192.0.2.7", 7) == "/ip4/192.0.2.7/tcp/7"
    assert format_socket_address("fe80::1%eth0", 7) == "/ip6/fe80::1/tcp/7"


@pytest.mark.net
async def test_loopback_is_reported_apart_with_the_port_that_was_chosen() -> None:
    transport = LibP2PTransport(IDENTITY, listen=["/ip4/127.0.0.1/tcp/0"])
    assert transport.addresses() == transport.loopback_addresses() == []
    async with transport.run(serve(b"")):
        assert transport.addresses() == []
        (address,) = transport.loopback_addresses()
    parsed = parse_address(address)
    assert parsed.peer == IDENTITY.peer
    assert parsed.port > 0


@pytest.mark.net
async def test_announced_addresses_replace_those_of_the_interfaces() -> None:
    announced = "/dns4/home.example.org/tcp/4001"
    transport = LibP2PTransport(IDENTITY, listen=["/ip4/127.0.0.1/tcp/0"], announce=[announced])
    async with transport.run(serve(b"")):
        assert transport.addresses() == [f"{announced}/p2p/{IDENTITY.text}"]
        assert len(transport.loopback_addresses()) == 1


@pytest.mark.parametrize("field", ["listen", "announce"])
def test_nonsense_in_the_configuration_is_refused(field: str) -> None:
    with pytest.raises(LocalError, match="nonsense"):
        LibP2PTransport(IDENTITY, **{"listen": [], field: ["nonsense"]})  # type: ignore[arg-type]
