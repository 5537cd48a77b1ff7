"""What the command line prints of a run: aligned, with units, in words, and nothing where there is nothing."""

from __future__ import annotations

import pytest

from realtime_sim.comparison import comparison
from realtime_sim.results import Results
from realtime_sim.simulation import simulate
from realtime_sim.tables import (
    MOST_ROWS,
    decisions_table,
    latency_table,
    objectives_table,
    recovery_table,
    report_text,
    servers_table,
    services_table,
    storm_lines,
)
from tests.conftest import small

NETWORK = {"rtt": "40ms"}


def run(replications: int = 1, **changes: object) -> Results:
    fields = {
        "clients": [{"name": "phones", "count": 4, "network": NETWORK}, {"name": "desks", "count": 6}],
        "broker": {"kind": "none", "publisher_link": 0},
        "traffic": [{"name": "t", "rate": 5}],
    }
    return simulate(small(**fields | changes), replications=replications)


def test_objectives_are_in_the_unit_of_the_tables_and_judged_in_words():
    slo = {"p50": "250ms", "p99": "1ms", "max_lost_ratio": 0, "survive_servers": 2}
    lines = objectives_table(run(slo=slo)).splitlines()
    assert lines == [
        "Objectives                promised     found   judged by   unit     verdict",
        "  p50                          250         0           0   ms       kept",
        "  p99                            1     19.99       19.99   ms       missed",
        "  lost ratio                     0         0           0   ratio    kept",
        "  survive 2 servers              2         -           -   servers  not decided "
        "(`realtime-sim plan` judges it)",
    ]


def test_recovery_is_told_in_seconds_and_never():
    """Four phones fall at 1 s and may not come back; nobody is left to fall at 2 s."""
    fault = {"kind": "drop_clients", "cohort": "phones"}
    results = run(
        clients=[{"name": "phones", "count": 4, "network": NETWORK, "reconnect": "none", "connect_timeout": "10ms"}],
        faults=[{"at": 1, **fault}, {"at": 2, **fault}],
        slo={"recover_within": 5},
    )
    assert recovery_table(results).splitlines() == [
        "Recovery, s                cut off      back      50 %      95 %       all   deliveries   away, 50 %",
        "  drop_clients at 1 s            4         0     never     never     never        never            -",
        "  drop_clients at 2 s            0         0         -         -         -        never            -",
    ]
    assert "recovery                       5     never       never   s        missed" in objectives_table(results)


def test_services_are_told_with_what_failed_and_how_they_caught_up():
    """Ten events a second of 50 ms each, stopped from 2.01 to 4.01 s; 10 ms were in vain."""
    results = run(
        events=[{"name": "order", "rate": 10, "arrivals": "constant"}],
        pipeline={"append": 0, "fetch": 0},
        services=[{"name": "mail", "consumes": "order", "service": "50ms"}],
        faults=[{"at": 2.01, "kind": "stop_service", "service": "mail", "lasts": 2}],
    )
    header, row, stop = services_table(results).splitlines()
    assert " ".join(header.split()) == "Services events done failed busy mean, ms p99, ms most open"
    assert row.split()[:5] == ["mail", "100", "100", "0", "50.1%"] and row.split()[-1] == "21"
    assert stop == "  mail stopped at 2.01 s for 2 s; caught up: 1.95 s after the restart"
    assert services_table(results) in report_text(results) and "Storms" not in report_text(results)


GROWING = {
    "duration": 30, "clients": [{"name": "c", "count": 30}],
    "servers": {"profile": "zero", "count": 1, "startup": "3s"},
    "autoscaling": {"max_replicas": 3, "sync_period": 5, "metrics": [{"name": "connections", "target": 10}]},
}  # fmt: skip


def test_what_an_autoscaler_did_is_told_with_its_reasons_and_how_servers_came():
    results = run(**GROWING)
    assert servers_table(results).splitlines() == [
        "Servers over time           wanted     ready   connections   fullest over the mean",
        "  at 1 s                         1         1            30                    1.00",
        "  at 6 s                         3         1            30                    1.00",
        "  at 9 s                         3         3            30                    3.00",
        "  at 30 s                        3         3            30                    3.00",
    ]
    assert decisions_table(results).splitlines() == [
        "Decisions",
        "        5.00 s  autoscaler   scale         1 to 3 servers  connections 30 a pod against 10: 1 to 3 pods",
        "        5.00 s  replica set  order server                  ordered by the autoscaler",
        "        5.00 s  replica set  order server                  ordered by the autoscaler",
        "        8.00 s  replica set  start server  server 1        ready for connections",
        "        8.00 s  replica set  start server  server 2        ready for connections",
    ]
    text = report_text(results)
    assert servers_table(results) in text and decisions_table(results) in text
    assert "Decisions of the first of 2 replications" in report_text(run(2, **GROWING))
    assert "Decisions" not in report_text(run()) and "Servers over time" not in report_text(run())


def test_of_many_rows_the_first_and_the_last_are_told():
    """A pause every 100 ms from 1 to 9 s, and as many closed connections by a process of one's own."""

    def closes(env, cluster):
        while True:
            yield env.timeout("400ms")
            cluster.close_connections(0, 1)

    case = small(clients=[{"name": "desks", "count": 6, "reconnect": {"policy": "fixed", "delay": "2s"}}],
                 faults=[{"at": 1, "kind": "pause_server", "lasts": "1ms", "every": "100ms"}])  # fmt: skip
    results = simulate(case, control=[closes])
    decisions = decisions_table(results).splitlines()
    assert len(decisions) == 2 + MOST_ROWS and decisions[9] == f"  … {len(results.decisions) - MOST_ROWS} more …"
    for table, frame in ((recovery_table, results.recovery), (storm_lines, results.storm)):
        lines = table(results).splitlines()
        assert len(lines) == 2 + MOST_ROWS and lines[9] == f"  … {len(frame) - MOST_ROWS} more …"


def test_a_long_name_keeps_its_distance_from_what_is_said_of_it():
    faults = [{"at": 1.25, "kind": "rolling_deploy"}, {"at": 2, "kind": "drop_clients", "cohort": "desks"}]
    results = run(faults=faults, servers={"profile": "zero", "count": 2, "grace": "1s"})
    first, second = storm_lines(results).splitlines()[1:]
    assert first.startswith("  rolling_deploy at 1.25 s  ") and second.startswith("  drop_clients at 2 s       ")
    header, first, second = recovery_table(results).splitlines()
    assert len(header) == len(first) == len(second) and first.startswith("  rolling_deploy at 1.25 s  ")


def test_a_run_without_traffic_prints_no_rows_of_nan():
    text = report_text(run(traffic=[], slo={"p99": "1s"}))
    assert "No deliveries after the warm-up, so there is no latency." in text
    assert "nan" not in text.lower() and "Mean of each hop" not in text
    assert "not decided (no deliveries)" in text


def test_a_cohort_that_gets_nothing_says_so():
    text = report_text(run(rooms=[{"name": "r", "count": 1, "members": 2, "cohort": "desks"}],
                           traffic=[{"name": "t", "rate": 5, "to": "r"}]))  # fmt: skip
    assert "phones (websocket): no deliveries" in text


def test_connections_at_the_start_are_told_from_attempts():
    case = {
        "servers": {"profile": "zero", "max_connections": 7},
        "clients": [{"name": "c", "count": 10, "network": NETWORK, "reconnect": {"policy": "fixed", "delay": "4s"}}],
    }
    line = next(line for line in report_text(run(**case)).splitlines() if line.startswith("Connections: "))
    assert line == (
        "Connections: 7 at the peak, 7 connected at the start, 6 attempts later, 9 refused, 3 never connected"
    )
    text = report_text(run(**case))
    assert "Warning: 3 of 10 clients were never connected: every server was full" in text
    assert "Busiest of 1 server: " in text


@pytest.mark.parametrize("replications", [1, 2])
def test_replications_tell_the_worst_and_that_counts_are_of_all(replications):
    faults = [{"at": 1, "kind": "drop_clients", "cohort": "phones"}]
    text = report_text(run(replications, faults=faults, servers={"profile": "zero", "count": 2, "egress": "1MB/s"}))
    assert ("all, worst" in text) == ("all replications together" in text) == (replications == 2)
    assert "Busiest of 2 servers: " in text and "; busiest link: " in text


def test_replications_that_tell_little_are_said_to():
    """A round trip that is drawn anew for each run, from a wide distribution: the interval is wider than the mean."""
    wide = run(2, clients=[{"name": "c", "count": 1, "network": {"rtt": {"median": "40ms", "p99": "900ms"}}}])
    told = "2 replications tell little: an interval is wider than its figure. Ask for more of them."
    assert latency_table(wide).splitlines()[-1].strip() == told and "   0.000 to " in latency_table(wide)
    assert comparison({"wide": wide, "alone": run()}).splitlines()[-1] == told
    for alike in (run(2), run()):
        assert told not in latency_table(alike) and "tell little" not in comparison({"a": alike})
