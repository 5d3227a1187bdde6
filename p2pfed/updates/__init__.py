"""Updates: which parameters travel (methods), and as which bytes (codecs).

Methods and codecs are made by name from one table each:

    method = updates.create_method("lora", rank=8)
    codec = updates.create_codec("bfloat16")

Importing this package does not import torch; the first use of a public name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from p2pfed.updates.codec import Codec as Codec
    from p2pfed.updates.error_feedback import ErrorFeedback as ErrorFeedback
    from p2pfed.updates.method import AdaptedModel as AdaptedModel
    from p2pfed.updates.method import Method as Method
    from p2pfed.updates.registry import CODECS as CODECS
    from p2pfed.updates.registry import METHODS as METHODS
    from p2pfed.updates.registry import create as create
    from p2pfed.updates.registry import create_codec as create_codec
    from p2pfed.updates.registry import create_method as create_method
    from p2pfed.updates.registry import names as names
    from p2pfed.updates.specification import ParameterEntry as ParameterEntry
    from p2pfed.updates.specification import ParameterSpecification as ParameterSpecification

_MODULES: Final = {
    "AdaptedModel": "p2pfed.updates.method",
    "CODECS": "p2pfed.updates.registry",
    "Codec": "p2pfed.updates.codec",
    "ErrorFeedback": "p2pfed.updates.error_feedback",
    "METHODS": "p2pfed.updates.registry",
    "Method": "p2pfed.updates.method",
    "ParameterEntry": "p2pfed.updates.specification",
    "ParameterSpecification": "p2pfed.updates.specification",
    "create": "p2pfed.updates.registry",
    "create_codec": "p2pfed.updates.registry",
    "create_method": "p2pfed.updates.registry",
    "names": "p2pfed.updates.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'p2pfed.updates' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
