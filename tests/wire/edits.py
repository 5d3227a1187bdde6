"""Changes one place of an encoded sample, without any check on the way."""

from typing import Any

import msgpack

DELETE = object()
APPEND = object()


def edit(data: bytes, *changes: tuple[tuple[Any, ...], Any]) -> bytes:
    """Return the encoding after each (path, value) was put in place.

    The value DELETE removes the element; a path that ends in APPEND appends the value.
    """
    tree: Any = [msgpack.unpackb(data)]
    for path, value in changes:
        *outer, last = (0, *path)
        container = tree
        for step in outer:
            container = container[step]
        if value is DELETE:
            del container[last]
        elif last is APPEND:
            container.append(value)
        else:
            container[last] = value
    packed: bytes = msgpack.packb(tree[0])
    return packed
