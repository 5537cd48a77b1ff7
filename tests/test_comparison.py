"""Variants share their draws, and their figures stand in one aligned table each, as Results has them."""

from __future__ import annotations

import pytest

from realtime_sim import presets
from realtime_sim.comparison import comparison, variants
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from tests.conftest import small

FAULT = [{"at": "2s", "kind": "drop_clients", "cohort": "phones"}]
SMALL = {"clients.phones.count": 200, "clients.phones.session": None, "rooms.group.count": 20}
CHAT = presets.load("chat").replace(duration="6s", warmup="1s", faults=FAULT, **SMALL)


def runs(path: str, **values: object) -> dict:
    return {label: simulate(variant) for label, variant in variants(CHAT, path, values).items()}


def test_variants_differ_in_one_field_alone():
    found = variants(CHAT, "servers.count", {"2": 2, "8": 8})
    assert [variant.replace(**{"servers.count": 4}) for variant in found.values()] == [CHAT, CHAT]


def test_each_figure_is_that_of_the_results():
    found = runs("clients.phones.reconnect", fixed={"policy": "fixed", "delay": "100ms"}, none="none")
    header, *rows = comparison(found, "reconnect").split("\n\n")[0].splitlines()
    assert " ".join(header.split()) == "reconnect mean, ms [95 % interval] p50, ms p99, ms lost recovery, s"
    for row, (label, run) in zip(rows, found.items(), strict=True):
        assert row.startswith(label)
        for name in ("mean", "p50", "p99"):
            assert f" {run.latency_s()[name].value * 1e3:,.3f} [" in row
        lost, recovery = row.split()[-2:]
        assert lost == f"{run.deliveries.loc['total', 'lost']:,}"
        assert recovery == f"{run.recovery['p100_s'].item():,.2f}"


def test_hops_of_the_runs_stand_side_by_side():
    found = runs("servers.count", few=2, many=4)
    header, *rows = comparison(found).split("\n\n")[1].splitlines()
    assert header.split()[-2:] == ["few", "many"]
    assert [row.split()[0] for row in rows] == [*HOPS, "total"]
    assert len({len(row) for row in (header, *rows)}) == 1


def test_who_never_came_back_and_who_never_left_is_said():
    never = simulate(CHAT.replace(**{"duration": "2.1s", "drain": 0, "clients.phones.reconnect": "eventsource"}))
    quiet = simulate(Scenario(name="quiet", duration=1, clients=[{"name": "c", "count": 1}]))
    rows = comparison({"never": never, "quiet": quiet}).splitlines()
    assert [row.split()[-1] for row in rows[1:3]] == ["never", "-"]


def test_a_fault_that_cuts_nobody_off_recovers_with_the_deliveries():
    stop = {"at": 16, "kind": "stop_broker"}
    case = small(duration=32, broker={"kind": "redis_pubsub"}, traffic=[{"name": "t", "rate": 20}])
    found = {lasts: simulate(case.replace(faults=[stop | {"lasts": lasts}])) for lasts in ("1s", "99s")}
    rows = comparison(found).splitlines()[1:3]
    assert [row.split()[-1] for row in rows] == [f"{found['1s'].recovery['deliveries_s'].item():,.2f}", "never"]


def test_one_value_is_nothing_to_compare():
    with pytest.raises(ScenarioError, match="servers.count must have two values or more to compare"):
        variants(CHAT, "servers.count", {"2": 2})


def test_services_stand_side_by_side_with_what_came_to_nothing():
    """One fails every attempt; the other has 10 ms to do, at 5 events a second."""
    services = [{"name": name, "consumes": "order", "service": "10ms", "retries": 0} for name in ("mail", "numbers")]
    case = small(
        events=[{"name": "order", "rate": 5, "arrivals": "constant"}], services=services, pipeline={"append": 0}
    )
    runs = {label: simulate(one) for label, one in variants(case, "services.mail.p_failure", {"0": 0, "1": 1}).items()}
    figures, cohorts, _, services = comparison(runs, "failing").split("\n\n")
    table = services.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["mail", "numbers"]
    assert table[1].split()[1:] == ["11.0", "(0)", "-", "(50)"]
    header, *rows = figures.splitlines()
    assert " ".join(header.split()).endswith("p99, ms lost events to nothing recovery, s")
    assert [row.split()[-3:] for row in rows] == [["0", "0", "-"], ["0", "50", "-"]]
    assert cohorts.splitlines()[0].startswith("p99 of each cohort, ms")


def test_cohorts_stand_side_by_side_where_there_are_several():
    """One is 100 ms away; the other, which only one variant has, gets nothing."""
    near, far = {"name": "near", "count": 9}, {"name": "far", "count": 3, "network": {"rtt": "200ms"}}
    case = small(clients=[near, far], traffic=[{"name": "t", "rate": 5, "arrivals": "constant"}])
    lonely = case.replace(clients=[near, {**far, "name": "idle"}], rooms=[{"name": "r", "count": 1, "members": 9,
                          "cohort": "near"}], traffic=[{"name": "t", "rate": 5, "to": "r"}])  # fmt: skip
    table = comparison({"a": simulate(case), "b": simulate(lonely)}).split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["near", "far", "idle"]
    assert table[2].split()[1:] == ["100.100", "-"] and table[3].split()[1:] == ["-", "-"]
