"""Delivery replays a missed message only to a client that resumes from a broker that remembers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies.delivery import (
    GUARANTEES,
    KEEPS_HISTORY,
    UNLIMITED,
    guarantee,
    missed_fate,
    replayable,
    replayable_kernel,
)

# Known values.


@pytest.mark.parametrize(
    ("client_resumes", "broker", "fate", "promise"),
    [
        (True, "redis_streams", "replay", "exactly_once_in_order"),  # EventSource with Last-Event-ID
        (True, "kafka", "replay", "exactly_once_in_order"),
        (True, "nats_jetstream", "replay", "exactly_once_in_order"),
        (True, "nats", "lost", "at_most_once"),
        (True, "redis_pubsub", "lost", "at_most_once"),  # an id that nobody can look up
        (False, "redis_streams", "lost", "at_most_once"),  # a log that nobody asks
        (False, "redis_pubsub", "lost", "at_most_once"),
        (True, "none", "lost", "at_most_once"),
    ],
)
def test_both_the_client_and_the_broker_must_remember(client_resumes, broker, fate, promise):
    assert missed_fate(client_resumes, KEEPS_HISTORY[broker]) == fate
    assert guarantee(client_resumes, KEEPS_HISTORY[broker]) == promise


def test_redelivery_adds_duplicates_and_heals_no_loss():
    assert guarantee(True, True, redelivers=True) == "at_least_once"
    assert guarantee(True, False, redelivers=True) == "no_guarantee"
    assert guarantee(False, True, redelivers=True) == "no_guarantee"


@pytest.mark.parametrize(
    ("n_missed", "history_limit", "expected"), [(0, 100, 0), (99, 100, 99), (150, 100, 100), (150, 0, 0), (9, None, 9)]
)
def test_only_the_newest_messages_within_the_limit_come_back(n_missed, history_limit, expected):
    assert replayable(n_missed, history_limit) == expected


# Properties.


@settings(deadline=None, max_examples=50)
@given(st.booleans(), st.booleans(), st.booleans())
def test_a_promise_without_loss_needs_replay_and_one_without_repeats_needs_no_redelivery(resumes, keeps, redelivers):
    promise = guarantee(resumes, keeps, redelivers)
    assert promise in GUARANTEES
    assert (promise in ("exactly_once_in_order", "at_least_once")) == (missed_fate(resumes, keeps) == "replay")
    assert (promise in ("exactly_once_in_order", "at_most_once")) == (not redelivers)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_replayed_and_lost_add_up_to_missed(n_missed, limit):
    """Against a list that keeps its newest entries, for small numbers; bounds for all."""
    kept = replayable(n_missed, limit)
    assert 0 <= kept <= min(n_missed, limit)
    small, room = n_missed % 50, limit % 50
    assert replayable(small, room) == len(list(range(small))[max(0, small - room) :])


# Agreement.


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**6), max_size=20), st.none() | st.integers(0, 10**6))
def test_arrays_and_the_compiled_function_agree_with_scalars(missed, limit):
    scalars = [replayable(n, limit) for n in missed]
    got = replayable(np.array(missed, dtype=np.int64), limit)
    assert got.dtype == np.int64 and got.tolist() == scalars
    assert [replayable_kernel(n, UNLIMITED if limit is None else limit) for n in missed] == scalars


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replayable(-1, 10), "n_missed must be whole and at least 0, got -1"),
        (lambda: replayable(1.5, 10), "n_missed must be whole and at least 0, got 1.5"),
        (lambda: replayable(1, -10), "history_limit must be a whole number of at least 0, got -10"),
    ],
)
def test_a_wrong_value_is_named_and_shown(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
