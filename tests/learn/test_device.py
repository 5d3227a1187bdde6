"""Names of devices and precisions."""

import pytest
import torch

from p2pfed.errors import ConfigError
from p2pfed.learn.device import resolve_device, resolve_dtype, resolve_placement


def test_names_become_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("meta").type == "meta"
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    placement = resolve_placement("cpu", "bfloat16")
    assert placement.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", "", "cuda:999"])
def test_unknown_and_missing_devices_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match="write auto") as caught:
        resolve_device(name)
    assert caught.value.field == "device"


def test_unknown_precisions_are_named() -> None:
    assert resolve_dtype("float32") == torch.float32
    with pytest.raises(ConfigError, match="bfloat16"):
        resolve_dtype("float16")
