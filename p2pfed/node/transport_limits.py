"""How long a transport waits and how much it holds; local choices that no peer notices."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """Deadlines and bounds of one transport.

    Attributes:
        dial_s: From `dial` to an encrypted connection, over all addresses.
        dial_stagger_s: Head start of an address over the next one of the same peer.
        handshake_s: From an accepted TCP connection to an encrypted, multiplexed one.
        greeting_s: For the exchange that makes a stream a control link.
        frame_write_s: For the peer to take a batch of control frames.
        flush_s: For what is queued when a peer is disconnected.
        close_s: For closing one connection politely before its socket is cut.
        unlinked_s: After which a connection without link or stream is closed.
        answer_s: For this node to decide on a payload request.
        idle_s: Without one byte of a payload, on either side.
        transfer_bytes_per_s_min: Average below which a payload transfer is given up.
        transfer_grace_s: Added to the time that the average allows.
        queue_frames_max: Outbound frames waiting for one peer.
        queue_bytes_max: Outbound bytes waiting for one peer.
        events_max: Inbound events waiting for the node, of all peers.
        handshakes_max: Inbound connections that have not proven a key; beyond it the oldest goes.
        connections_max: Inbound connections altogether.
        connections_per_peer_max: Inbound connections of one peer; beyond it the oldest goes.
        streams_per_connection_max: Inbound streams being negotiated or served on one connection.
        uploads_per_peer_max: Payloads being served to one peer.
        uploads_max: Payloads being served altogether.
    """

    dial_s: float = 10.0  # three SYN retransmissions (1 + 2 + 4 s) and a handshake
    dial_stagger_s: float = 0.25  # RFC 8305, "Connection Attempt Delay"
    handshake_s: float = 10.0  # the library's own bound of an upgrade
    greeting_s: float = 5.0  # guess: two round trips of the worst satellite link, five times over
    frame_write_s: float = 30.0  # 256 KiB at 9 kB/s
    flush_s: float = 1.0  # the promise of `disconnect`
    close_s: float = 0.5  # leaves 2 s of the 3 s in which a transport closes
    unlinked_s: float = 30.0  # guess: an identify exchange of another implementation takes 1 s
    answer_s: float = 10.0  # guess: the core answers in a millisecond, a slow disk in a second
    idle_s: float = 20.0  # four times the zero-window patience of stock py-libp2p
    transfer_bytes_per_s_min: float = 8_192.0  # a tenth of a 1 Mbit/s uplink shared by eight
    transfer_grace_s: float = 60.0  # guess
    queue_frames_max: int = 4_096  # 20 s of the frames_per_s_max of the core's limits
    queue_bytes_max: int = 16 << 20  # 256 of the largest frames
    events_max: int = 256  # at most 16 MiB
    handshakes_max: int = 64  # at 20 ms a handshake that is 3,000 a second
    connections_max: int = 256  # four times the neighbors of the core's limits
    connections_per_peer_max: int = 4  # a simultaneous dial, a restart, and one to spare
    streams_per_connection_max: int = 32  # eight fetches and as many identify exchanges fit well
    uploads_per_peer_max: int = 4  # as Limits.uploads_per_peer_max
    uploads_max: int = 64  # one per neighbor
