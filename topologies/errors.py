"""What can go wrong in `topologies`."""


class TopologyError(ValueError):
    """A topology's name or parameter cannot be used; says which, its value, and what to do."""
