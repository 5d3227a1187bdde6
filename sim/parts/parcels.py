"""What parts of a world send each other, as bytes.

Those that read them are processes of the same simulation, which its first one has started: what
peers send is in them, as bytes that only cores read.
"""

import pickle  # noqa: TID251 - between processes of one program, as multiprocessing does
from collections.abc import Iterable

from p2pfed.errors import LocalError
from sim.network import Parcel
from sim.packets import PayloadChunk


def encode(parcels: Iterable[Parcel]) -> bytes:
    """Return parcels as bytes; a frame that goes to several peers is in them once."""
    return pickle.dumps([_portable(it) for it in parcels], protocol=pickle.HIGHEST_PROTOCOL)


def decode(data: bytes) -> list[Parcel]:
    """Return what `encode` was given in another process of this simulation."""
    found: list[Parcel] = pickle.loads(data)  # noqa: S301 - see above
    return found


def _portable(parcel: Parcel) -> Parcel:
    arrival_ns, sender, receiver, packet, size_bytes = parcel
    if isinstance(packet, PayloadChunk):
        packet = packet._replace(chunk=bytes(packet.chunk))  # a view cannot be pickled
    return arrival_ns, sender, receiver, packet, size_bytes


def portable_error(error: Exception) -> Exception:
    """Return an error that another process can raise: the same, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # whatever it is made of may fail in any way
        return LocalError(f"{type(error).__name__}: {error}")
    return error
