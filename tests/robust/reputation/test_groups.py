"""Which addresses one person may have."""

import pytest

from robust import RuleError
from robust.reputation.groups import address_block


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "block 192.0.2.0/24"),
        ("192.0.3.7", "block 192.0.3.0/24"),
        ("2001:db8:1:2::3", "block 2001:db8:1::/48"),
        ("2001:db8:2::", "block 2001:db8:2::/48"),
        ("::ffff:192.0.2.200", "block 192.0.2.0/24"),  # a socket for both kinds says it like this
        ("::ffff:c000:2c8", "block 192.0.2.0/24"),
    ],
)
def test_a_block_is_what_one_person_gets_at_once(address: str, block: str) -> None:
    assert address_block(address) == block


@pytest.mark.parametrize("address", ["", "example.org", "192.0.2", "192.0.2.0/24", "1::2::3"])
def test_what_is_no_address_has_no_block(address: str) -> None:
    with pytest.raises(RuleError, match="is no IP address"):
        address_block(address)
