"""Which payload codec a run file names, where its method leaves no choice."""

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.updates.method import Method


def check_only_codec(config: RunConfig, method: Method) -> None:
    """Refuse any codec but the one that a method brings, which has no constants.

    Args:
        config: The run file.
        method: Has a `codec_name`.

    Raises:
        ConfigError: If the run file names another codec or a constant.
    """
    name = method.codec_name
    if config.codec.name != name:
        fix = f"write {name}, the only one of {method.name}"
        raise ConfigError("codec.name", config.codec.name, fix)
    for constant, value in config.codec.constants.items():
        raise ConfigError(f"codec.{constant}", value, f"remove it; {name} has no constants")
