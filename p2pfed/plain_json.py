"""Values as JSON knows them: it has no NaN and no infinity, which other programs refuse to read."""

import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Return a value in which numbers that are not finite are None, at any depth.

    Keys of mappings become texts, and tuples lists, as `json.dumps` would have them.
    """
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(name): finite(item) for name, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case _:
            return value
