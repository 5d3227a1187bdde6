"""Our changes inside py-libp2p are for one version of it, and made once."""

import logging

import pytest

from p2pfed.errors import LocalError
from p2pfed.node import libp2p_compat as compat


def test_other_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "version", lambda _: "0.9.0")
    with pytest.raises(LocalError, match=r"pip install libp2p==0\.8\.1"):
        compat.apply()


def test_apply_twice_changes_nothing_more() -> None:
    compat.apply()
    before = list(logging.getLogger("libp2p").handlers)
    compat.apply()
    assert logging.getLogger("libp2p").handlers == before
