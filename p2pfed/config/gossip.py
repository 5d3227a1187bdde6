"""What several gossip steps per training result go together with."""

from typing import Final

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.learn.outer import NONE
from p2pfed.updates.codecs.float32 import Float32
from p2pfed.updates.method import Method
from p2pfed.updates.registry import CODECS

_STEPS: Final = "schedule.gossip_steps"


def check_gossip_steps(config: RunConfig, method: Method) -> None:
    """Refuse to mix more than once where that makes no sense, or rounds each time.

    Raises:
        ConfigError: If it does.
    """
    count = config.schedule.gossip_steps
    if count == 1:
        return
    codec = config.codec.name
    if config.schedule.mode == "asynchronous":
        fix = (
            "write 1: an asynchronous peer mixes as often as it trains; or write mode = synchronous"
        )
        raise ConfigError(_STEPS, count, fix)
    if method.codec_name:
        fix = f"write 1: under {method.name} nobody mixes vectors, of which more steps make a mean"
        raise ConfigError(_STEPS, count, fix)
    if config.outer.name != NONE:
        fix = f"write 1, or outer.name = {NONE}: an outer step is taken once per training"
        raise ConfigError(_STEPS, count, fix)
    is_exact = codec == Float32.name or (codec in CODECS and CODECS[codec].is_for_differences)
    if not is_exact:
        fix = f"write 1: {codec} would round each time; or take float32, or a codec for differences"
        raise ConfigError(_STEPS, count, fix)
