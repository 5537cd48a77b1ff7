"""A run is valid unless clients, the publisher or others were what was measured; each reason has a next step."""

from __future__ import annotations

import numpy as np
import pytest

from live.accounting import Usage
from live.conditions import CLIENT_LIMIT, FOREIGN_LIMIT_CORES, LATE_LIMIT_S, reasons_of
from realtime_sim.units import NS_PER_S


def used(share: float) -> Usage:
    """Of one core, for a second."""
    return Usage(round(share * NS_PER_S), 0, 0)


@pytest.mark.parametrize(
    ("name", "share", "foreign", "late_s", "reason"),
    [
        ("clients 1", 0.62, 0.0, 0.0,
         "clients 1 used 62% of a core and are part of what was measured (at most 50%: use more client processes, or "
         "less traffic)"),
        ("server 0", 0.99, 0.31, 0.0,
         "others used 0.31 cores of this machine meanwhile (at most 0.2: end what else runs here, and repeat the run)"),
        ("server 0", 0.99, 0.0, 0.08,
         "the publisher was 80 ms late with 1 in 100 messages (at most 50: lower the traffic, or use a machine with "
         "more cores)"),
    ],
)  # fmt: skip
def test_what_was_measured_besides_the_system_is_a_reason_with_a_next_step(name, share, foreign, late_s, reason):
    assert [*reasons_of([(name, used(share), 0)], foreign, np.full(200, late_s), NS_PER_S)] == [reason]


def test_at_its_limits_a_run_is_valid():
    processes = [("clients 0", used(CLIENT_LIMIT), 0), ("server 0", used(1.0), 0)]
    assert [*reasons_of(processes, FOREIGN_LIMIT_CORES, np.full(200, LATE_LIMIT_S), NS_PER_S)] == []
    assert [*reasons_of(processes, 0.0, np.zeros(0), NS_PER_S)] == []
