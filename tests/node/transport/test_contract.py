"""Both transports pass one acceptance suite."""

from collections.abc import Awaitable, Callable

import pytest

from p2pfed.testing import transport_link_checks, transport_payload_checks
from p2pfed.testing.transport_contract import CHECKS
from p2pfed.testing.transport_lab import TransportLab
from tests.node.transport.labs import LibP2PLab, MemoryLab

Check = Callable[[TransportLab], Awaitable[None]]


@pytest.mark.parametrize("check", CHECKS)
async def test_memory_transport(check: Check) -> None:
    await check(MemoryLab())


@pytest.mark.net
@pytest.mark.parametrize("check", CHECKS)
async def test_libp2p_transport(check: Check) -> None:
    await check(LibP2PLab())


def test_every_check_is_in_the_suite() -> None:
    for module in (transport_link_checks, transport_payload_checks):
        for name, check in vars(module).items():
            if name.startswith("check_"):
                assert check in CHECKS, name
