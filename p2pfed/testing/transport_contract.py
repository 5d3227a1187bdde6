"""The acceptance suite of transports: what the node relies on, whatever carries the bytes.

Whoever writes a transport writes a `TransportLab` for it and runs `check_transport`, or one test
per entry of `CHECKS`.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from p2pfed.testing import transport_link_checks as links
from p2pfed.testing import transport_payload_checks as payloads
from p2pfed.testing.transport_lab import TransportLab

CHECKS: Final[tuple[Callable[[TransportLab], Awaitable[None]], ...]] = (
    links.check_link_comes_up_once_on_both_sides,
    links.check_frames_keep_their_order,
    links.check_largest_frame_passes_and_larger_does_not,
    links.check_oversized_frame_ends_the_link,
    links.check_full_queue_ends_the_link,
    links.check_bytes_in_the_queue_are_bounded,
    links.check_slow_consumer_loses_nothing,
    links.check_simultaneous_dials_make_one_link,
    links.check_disconnect_is_seen_and_redial_works,
    links.check_disconnect_sends_what_is_queued,
    links.check_dial_fails_where_nobody_listens,
    links.check_dial_fails_where_another_peer_listens,
    links.check_dial_fails_where_somebody_is_silent,
    links.check_dial_fails_without_a_usable_address,
    links.check_restarted_peer_replaces_its_link,
    links.check_vanished_peer_goes_down,
    links.check_closing_is_quick,
    links.check_exception_of_the_body_passes_unchanged,
    links.check_cancelling_the_body_closes,
    links.check_traffic_is_counted,
    payloads.check_payload_arrives_whole,
    payloads.check_server_sees_the_request,
    payloads.check_refusal_says_why,
    payloads.check_wrong_size_is_an_offence,
    payloads.check_broken_transfer_resumes,
    payloads.check_stalled_sender_is_given_up,
    payloads.check_concurrent_transfers,
    payloads.check_cancelled_transfers_leave_the_link,
    payloads.check_failing_server_costs_one_transfer,
    payloads.check_failing_sink_is_raised,
    payloads.check_source_is_closed,
    payloads.check_transfer_ends_with_the_link,
    payloads.check_closing_ends_transfers,
)


async def check_transport(lab: TransportLab) -> None:
    """Run all checks.

    Raises:
        AssertionError: If the transport breaks the contract.
    """
    for check in CHECKS:
        await check(lab)
