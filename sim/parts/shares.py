"""Which part of a world has which peers."""


def part_of_each(nodes: int, parts: int) -> list[int]:
    """Return the number of the part of each peer: neighbors in number, and as many in each part.

    Args:
        nodes: How many peers there are.
        parts: How many parts; at most as many.
    """
    return [number * parts // nodes for number in range(nodes)]
