"""What passes between processes: parcels and errors that can."""

import copy

from msgspec.structs import replace

from p2pfed.errors import LocalError
from sim.network import Parcel
from sim.packets import PayloadChunk


def portable(parcel: Parcel) -> Parcel:
    """Return a parcel that another process can be sent, as a view of a payload cannot."""
    arrival_ns, sender, receiver, packet, size_bytes = parcel
    if isinstance(packet, PayloadChunk):
        packet = replace(packet, chunk=bytes(packet.chunk))
    return arrival_ns, sender, receiver, packet, size_bytes


def portable_error(error: Exception) -> Exception:
    """Return an error that another process can raise: the same, or one that says the same."""
    try:
        copy.copy(error)  # which makes it anew of what it is made of, as another process does
    except Exception:  # whatever it is made of may fail in any way
        return LocalError(f"{type(error).__name__}: {error}")
    return error
