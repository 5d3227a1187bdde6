"""A peer on a real machine: trio, py-libp2p, files and threads around `PeerCore`."""
