"""A cost profile adds up what one server pays, in CPU and memory, and refuses figures that cannot be."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.costs import CostProfile

FIELDS = [field.name for field in dataclasses.fields(CostProfile)]
TIMES = st.floats(0, 1e3)
BYTES = st.integers(0, 2**40)


# Known values.


@pytest.mark.parametrize(
    ("payload_bytes", "own_task", "us"),
    [(0, False, 20), (1_000, False, 21), (1_000, True, 41), (0, True, 40)],
)
def test_a_send_costs_its_call_its_bytes_and_its_task(payload_bytes, own_task, us):
    """20 us a call, 1 ns a byte, 20 us a task."""
    costs = CostProfile(send_s=20e-6, send_per_byte_s=1e-9, task_s=20e-6)
    assert costs.send_to_one_s(payload_bytes, own_task) == pytest.approx(us * 1e-6, rel=1e-15)


def test_a_million_idle_connections_take_the_memory_that_was_published():
    """Centrifugo, 17 Aug 2026: 27.0 KB in the process and 4 KB in the kernel, so 31 GB for a million."""
    costs = CostProfile(connection_memory_bytes=27_000, kernel_memory_bytes=4_000)
    assert costs.memory_bytes(1_000_000) == 31 * 10**9


@pytest.mark.parametrize(
    ("memory_bytes", "connections"), [(0, 0), (41_999, 0), (42_000, 0), (42_030, 1), (42_059, 1), (42_060, 2)]
)
def test_connections_share_what_the_process_leaves(memory_bytes, connections):
    """The process takes 42,000 bytes, a connection 20 and 10."""
    costs = CostProfile(base_memory_bytes=42_000, connection_memory_bytes=20, kernel_memory_bytes=10)
    assert costs.connections_in(memory_bytes) == connections


def test_connections_that_cost_nothing_have_no_limit():
    assert CostProfile(base_memory_bytes=1).connections_in(10**9) is None


def test_nothing_costs_anything_unless_it_is_said():
    assert set(dataclasses.asdict(CostProfile()).values()) == {0}


# Properties and agreement.


@given(BYTES, st.integers(0, 2**20), st.integers(1, 2**20), st.integers(0, 10**7), BYTES)
def test_the_connections_that_fit_are_those_whose_memory_fits(base, process, kernel, n, memory_bytes):
    """Two ways to one figure: n fit into what n take, and one more than fits takes more than there is."""
    costs = CostProfile(base_memory_bytes=base, connection_memory_bytes=process, kernel_memory_bytes=kernel)
    assert costs.connections_in(costs.memory_bytes(n)) == n
    fit = costs.connections_in(memory_bytes)
    assert costs.memory_bytes(fit) <= max(memory_bytes, base)
    assert costs.memory_bytes(fit + 1) > memory_bytes


@given(TIMES, TIMES, TIMES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_longer_message_and_a_task_never_cost_less(send_s, per_byte_s, task_s, a, b):
    costs = CostProfile(send_s=send_s, send_per_byte_s=per_byte_s, task_s=task_s)
    short, long = sorted((a, b))
    assert send_s <= costs.send_to_one_s(short) <= costs.send_to_one_s(long) <= costs.send_to_one_s(long, True)


# Errors.


@pytest.mark.parametrize("value", [-1, -1e-9, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", FIELDS)
def test_a_figure_that_cannot_be_is_named(name, value):
    with pytest.raises(ValueError) as caught:
        CostProfile(**{name: value})
    assert str(caught.value) == f"{name} must be 0 or more and finite, got {value!r}"


def test_a_profile_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'send_s'"):
        CostProfile().send_s = 1.0
