"""Everything that p2pfed changes inside py-libp2p, for exactly one version of it.

Each change has a test that fails when it stops having its effect. What is touched here and in
`libp2p_muxer` is private to the library; the rest of p2pfed uses its public interface only.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Any, Final, cast, final

import libp2p
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.swarm import Swarm
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from multiaddr import Multiaddr
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.identity import Identity
from p2pfed.node import libp2p_muxer

logger = logging.getLogger(__name__)

LIBP2P_VERSION: Final = "0.8.1"


def check_version() -> None:
    """Refuse any other py-libp2p than the one whose internals are known.

    Raises:
        LocalError: If another version is installed.
    """
    found = version("libp2p")
    if found != LIBP2P_VERSION:
        raise LocalError(
            f"libp2p {found} is installed, but p2pfed sets internals of libp2p {LIBP2P_VERSION}; "
            f"run: pip install libp2p=={LIBP2P_VERSION}"
        )


def apply() -> None:
    """Set what is global to the process; before the first host, any number of times."""
    check_version()
    yamux.MAX_MESSAGE_SIZE = libp2p_muxer.FRAME_BYTES
    # Both classes are named only where they are created, so replacing the names replaces them.
    cast(Any, yamux).YamuxStream = libp2p_muxer.PatientStream
    cast(Any, muxer_multistream).Yamux = libp2p_muxer.HardenedYamux
    cast(Any, NoiseTransportReadWriter).write_msg = libp2p_muxer.write_noise_messages
    cast(Any, NoiseTransportReadWriter).read_msg = libp2p_muxer.read_noise_message
    _tame_logging()


def make_host(
    identity: Identity,
    announced: Callable[[], Sequence[str]],
    guard: Callable[
        [Callable[[INetStream], Awaitable[None]]], Callable[[INetStream], Awaitable[None]]
    ],
) -> BasicHost:
    """Return a host that does nothing on its own: no dialing, pruning, discovery, rate limits.

    Args:
        identity: Whose key it has; the PeerID is the same as ours.
        announced: What the identify protocol tells others, asked each time.
        guard: Wraps the handler of all inbound streams; nothing may escape it.
    """
    keys = create_new_key_pair(identity.seed)
    noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
    connections_max = 1 << 20  # p2pfed counts connections itself, and closes the right ones
    config = ConnectionConfig(
        min_connections=0,
        low_watermark=0,
        high_watermark=connections_max,
        max_connections=connections_max,
        max_connections_per_peer=connections_max,
    )
    host = libp2p.new_host(
        key_pair=keys,
        muxer_preference="YAMUX",
        sec_opt={NOISE: noise},  # the default offers plaintext, too
        connection_config=config,
        addrs_factory=lambda _: [Multiaddr(address) for address in announced()],
        disable_identify_address_discovery=True,
    )
    assert isinstance(host, BasicHost)
    assert host.get_id().to_base58() == identity.text
    swarm = host.get_network()
    assert isinstance(swarm, Swarm)
    _keep_muxer_to_yamux(swarm)
    _stop_own_initiative(host, swarm)
    swarm.set_stream_handler(guard(swarm.common_stream_handler))
    return host


def _keep_muxer_to_yamux(swarm: Swarm) -> None:
    """Offer no other muxer: mplex has no flow control at all."""
    selector = swarm.upgrader.muxer_multistream._selector
    for protocol in selector.get_protocols():
        if protocol != yamux.PROTOCOL_ID:
            del selector.handlers[protocol]
            selector.multiselect.remove_handler(protocol)


def _stop_own_initiative(host: BasicHost, swarm: Swarm) -> None:
    """Leave all decisions to the core: whom to dial, what to keep, what to believe."""

    async def do_nothing() -> None:
        return

    connector = cast(Any, swarm.auto_connector)
    # It would dial whatever the peerstore holds until half its watermark is reached.
    connector.maybe_connect = do_nothing
    # It would remember every peer that ever disconnected.
    connector.record_disconnect = lambda _peer_id: None
    # Identify on each connection writes what peers claim into an unbounded peerstore, and opens
    # its stream by dialing when the connection is gone already.
    swarm.notifees.clear()
    for protocol in host.get_mux().get_protocols():
        if protocol is not None and protocol != IDENTIFY:
            host.remove_stream_handler(protocol)
    # Its limits are per process and address: eight peers behind one router are too many for it.
    swarm.set_resource_manager(None)


def _tame_logging() -> None:
    """Send the library's warnings and errors to our logger as debug records.

    It logs routine failures as errors and, without a handler, they go to stderr. Its connection
    module uses the root logger, whose first use installs a handler for the whole process.
    LIBP2P_DEBUG, the library's own switch, still gets all of it.
    """
    routed = logging.getLogger("libp2p")
    if not os.environ.get("LIBP2P_DEBUG") and not any(
        isinstance(handler, _AsDebug) for handler in routed.handlers
    ):
        routed.addHandler(_AsDebug())
        routed.setLevel(logging.WARNING)
        routed.propagate = False
    module = cast(Any, swarm_connection)
    module.logging = logging.getLogger(swarm_connection.__name__)


@final
class _AsDebug(logging.Handler):
    """Re-issues records of the library under this module's name, at level DEBUG."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s", record.name, record.getMessage())
