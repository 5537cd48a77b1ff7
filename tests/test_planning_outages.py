"""A plan shows what clients see while recovery is not due yet, and an independent run counts the same."""

from __future__ import annotations

import json
import math

import pytest

from realtime_sim import plan, simulate
from realtime_sim.planning.drills import drills_of
from realtime_sim.planning.outages import outage_drill, outage_of
from realtime_sim.scenario import Scenario
from tests.plans import CASE, by_arithmetic, planned, without_an_answer


def chat(**changes: object) -> Scenario:
    """60 clients on three servers who hear 20 messages a second; who is cut off comes back after half a second."""
    return Scenario(
        **{
            "name": "chat",
            "duration": "60s",
            "clients": [{"name": "phones", "count": 60, "reconnect": {"policy": "fixed", "delay": "500ms"}}],
            "servers": {"profile": "zero", "count": 3},
            "broker": {"kind": "nats", "publish": 0, "copy": 0},
            "traffic": [{"name": "news", "rate": "20/s", "arrivals": "constant"}],
            "slo": {"p99": "200ms", "recover_within": "5s", "survive_servers": 1},
        }
        | changes
    )


def drill(**changes: object) -> Scenario:
    return outage_drill(drills_of(chat(**changes), 3)["loss"])


def test_the_drill_counts_from_the_loss_until_recovery_is_due_and_is_else_the_loss_drill():
    loss = drills_of(chat(), 3)["loss"]
    times = {"warmup": 2, "duration": 7, "sample_interval": drill().sample_interval}
    assert (loss.faults[0].at, loss.warmup) == (2, 7) and drill() == loss.replace(**times)


def test_where_recovery_is_due_at_once_there_is_no_outage():
    assert drill(slo={"p99": "200ms", "recover_within": 0, "survive_servers": 1}) is None


def test_what_clients_miss_is_reckoned_by_hand():
    """A third of the clients is away for half a second of five, and hears nothing of a tenth of the messages."""
    found = outage_of(simulate(drill()))
    assert (found.lost, found.length_s) == (1, 5)
    assert found.lost_ratio == pytest.approx(1 / 30, abs=1 / 3 / 100)  # one message of a hundred, to a third of them
    assert 0.5 <= found.back_s < 0.6 and 0 < found.p99_s < 0.01


def test_who_is_not_back_in_time_and_what_was_not_sent_are_told():
    slow = [{"name": "phones", "count": 60, "reconnect": {"policy": "fixed", "delay": "20s"}}]
    late = outage_of(simulate(drill(clients=slow)))
    assert late.back_s == math.inf and "some clients not back yet" in late.text
    silent = outage_of(simulate(drill(traffic=[])))
    assert math.isnan(silent.p99_s) and math.isnan(silent.lost_ratio)
    assert silent.text.startswith("In the 5 s after the loss of 1 server: the last client back after 0.5")


def test_a_plan_has_the_outage_of_its_answer_and_an_independent_run_finds_the_same():
    """No promise is held to it: some of what is lost meanwhile is more than what the plan finds lost."""
    found = planned()
    loss = found.drills(found.servers)["loss"]
    again = simulate(loss.replace(warmup=loss.faults[0].at, duration=loss.warmup), engine="reference")
    total = again.deliveries.loc["total"]
    assert found.outage.lost_ratio == (total["lost"] + total["dropped"]) / total["expected"] > 0
    assert found.outage.p99_s == again.latency_s()["p99"].value
    assert found.outage.back_s == again.recovery.loc[0, "p100_s"] > 0
    assert found.outage.lost_ratio > found.answer.check("lost ratio").found


def test_every_claim_of_a_plan_says_from_when_on_it_holds():
    found = planned()
    assert "3 servers keep every promise, also from 5 s after the loss of 1 server on." in found.headline
    assert "; after the loss from 5 s on" in found.verdict
    rows = {line.split("  ")[0]: line for line in str(found).splitlines()}
    assert "loss, from 5 s on" in rows["p99"] and "from 5 s on" not in rows["recovery"] + rows["connections"]
    assert found.outage.text in str(found) and found.outage.text in found._repr_html_()


def test_the_outage_is_plain_data_and_its_drill_can_be_run_again():
    found = planned().outage
    plain = json.loads(planned().to_json())["outage"]
    assert (plain["p99_s"], plain["lost_ratio"], plain["back_s"]) == (found.p99_s, found.lost_ratio, found.back_s)
    assert Scenario(**plain["drill"]) == found.results.scenario


def test_without_a_loss_drill_there_is_none():
    assert by_arithmetic().outage is None and without_an_answer().outage is None
    calm = plan(CASE.replace(**{"slo.survive_servers": None}), replications=1, engine="reference")
    assert calm.outage is None and "after the loss" not in calm.headline + calm.verdict
    assert json.loads(calm.to_json())["outage"] is None
