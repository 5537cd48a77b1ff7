"""Overflow accepts what fits, and drops or disconnects by the policy's name beyond the limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies.overflow import (
    DECISIONS,
    REGISTRY,
    Disconnect,
    DropNewest,
    Unbounded,
    admit,
    admit_kernel,
)

BYTES = st.integers(0, 2**40)


# Known values.


@pytest.mark.parametrize(
    ("policy", "queued_bytes", "message_bytes", "decision"),
    [
        (Unbounded(), 2**40, 2**30, "accept"),
        (DropNewest(1_000), 0, 1_000, "accept"),
        (DropNewest(1_000), 800, 200, "accept"),
        (DropNewest(1_000), 800, 201, "drop"),
        (DropNewest(1_000), 0, 1_001, "drop"),
        (Disconnect(1_000), 800, 200, "accept"),
        (Disconnect(1_000), 800, 201, "disconnect"),
        (DropNewest(), 65_536, 1, "drop"),  # uWebSockets, maxBackpressure of 64 KiB
        (Disconnect(), 2**20, 1, "disconnect"),  # Centrifugo, client queue of 1 MiB
    ],
)
def test_a_message_is_accepted_up_to_the_limit_and_not_beyond(policy, queued_bytes, message_bytes, decision):
    assert admit(policy, queued_bytes, message_bytes) == decision


def test_a_stalled_redis_subscriber_is_cut_at_32_mb():
    """10 MB/s into a hard limit of 32 MB: three seconds fit, the fourth does not."""
    policy, queued, seconds = Disconnect(32 * 2**20), 0, 0
    while admit(policy, queued, 10 * 2**20) == "accept":
        queued, seconds = queued + 10 * 2**20, seconds + 1
    assert seconds == 3


# Properties.


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 2**40), BYTES, BYTES)
def test_only_what_fits_is_accepted_and_both_limits_agree_on_what_fits(limit, queued, message):
    dropped, cut = admit(DropNewest(limit), queued, message), admit(Disconnect(limit), queued, message)
    fits = queued + message <= limit
    assert (dropped, cut) == (("accept", "accept") if fits else ("drop", "disconnect"))
    assert admit(Unbounded(), queued, message) == "accept"


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 10_000), st.lists(st.integers(0, 3_000), max_size=30))
def test_a_buffer_under_a_limit_never_exceeds_it(limit, messages):
    queued = 0
    for size in messages:
        queued += size if admit(DropNewest(limit), queued, size) == "accept" else 0
    assert queued <= limit


# Agreement.


@pytest.mark.parametrize("name", REGISTRY)
def test_arrays_and_the_compiled_function_agree_with_scalars(name):
    policy = REGISTRY[name]()
    queued, message = np.array([0, 60_000, 2**20, 2**20])[:, None], np.array([1, 5_536, 5_537])
    got = admit(policy, queued, message)
    assert got.shape == (4, 3)
    for i, q in enumerate(queued.ravel().tolist()):
        for j, m in enumerate(message.tolist()):
            assert got[i, j] == admit(policy, q, m)
            assert got[i, j] == DECISIONS[admit_kernel(policy.code, getattr(policy, "limit_bytes", 0), q, m)]


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropNewest(0), "limit_bytes must be a whole number of at least 1, got 0"),
        (lambda: Disconnect(1.5), "limit_bytes must be a whole number of at least 1, got 1.5"),
        (lambda: Disconnect(True), "limit_bytes must be a whole number of at least 1, got True"),
        (lambda: admit(Unbounded(), -1, 5), "queued_bytes must be whole and at least 0, got -1"),
        (lambda: admit(Unbounded(), 0, 0.5), "message_bytes must be whole and at least 0, got 0.5"),
        (lambda: admit_kernel(99, 1, 1, 1), "no overflow rule has this code"),
    ],
)
def test_a_wrong_value_is_named_and_shown(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
