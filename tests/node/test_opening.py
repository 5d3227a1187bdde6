"""The genesis beside a run file, and the copy of it that its state folder keeps."""

import pytest

from p2pfed.config.assembly import Agreement
from p2pfed.errors import ConfigError
from p2pfed.node.opening import GENESIS_FILE, check_agreement, keep_genesis
from tests.wire.samples import GENESIS

AGREEMENT = Agreement.of(GENESIS)


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_run_file_of_ones_own_needs_no_genesis_beside_it(tmp_path, state):
    for _ in range(2):  # the first start, and one that goes on
        check_agreement(AGREEMENT, tmp_path, state)
        keep_genesis(tmp_path, state)
    assert list(state.iterdir()) == []


def test_genesis_that_was_there_is_missed(tmp_path, state):
    (tmp_path / GENESIS_FILE).write_bytes(AGREEMENT.encoded)
    check_agreement(AGREEMENT, tmp_path, state)
    keep_genesis(tmp_path, state)
    (tmp_path / GENESIS_FILE).unlink()
    with pytest.raises(ConfigError, match=f"{tmp_path / GENESIS_FILE}.*missing.*cp {state}"):
        check_agreement(AGREEMENT, tmp_path, state)
