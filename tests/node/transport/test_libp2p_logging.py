"""Our changes to what py-libp2p logs, with a test for the effect of each."""

import logging
import subprocess
import sys
import textwrap

import pytest

from p2pfed.node import libp2p_compat as compat


@pytest.mark.slow
def test_library_is_quiet() -> None:
    """A failed dial and a connection, in a process without logging: nothing on stderr."""
    program = textwrap.dedent(
        """
        import contextlib, logging, trio
        from p2pfed.errors import TransportError
        from p2pfed.identity import Identity
        from p2pfed.node.libp2p_transport import LibP2PTransport
        from p2pfed.testing.transport_lab import serve

        async def main():
            nodes = [
                LibP2PTransport(Identity(bytes([n]) * 32), listen=["/ip4/127.0.0.1/tcp/0"])
                for n in (1, 2)
            ]
            peer = Identity(bytes([2]) * 32).peer
            async with nodes[0].run(serve(b"")), nodes[1].run(serve(b"")):
                with contextlib.suppress(TransportError):
                    await nodes[0].dial(peer, ["/ip4/127.0.0.1/tcp/1"])
                await nodes[0].dial(peer, nodes[1].loopback_addresses())
            logging.getLogger("libp2p.anything").error("an error of the library")

        trio.run(main)
        assert not logging.getLogger().handlers
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_library_is_heard_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    compat.apply()
    with caplog.at_level(logging.DEBUG, logger=compat.__name__):
        logging.getLogger("libp2p.some.module").warning("about %s", "something")
    assert "libp2p.some.module: about something" in caplog.text
    assert not logging.getLogger("libp2p").propagate  # or the program would show it twice
