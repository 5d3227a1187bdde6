"""Bytes between peers: frames, headers, payloads and the genesis, in canonical msgpack.

docs/wire.md describes every byte.
"""
