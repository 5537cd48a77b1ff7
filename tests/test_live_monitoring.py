"""A server tells Prometheus what it knows under the names of the one table, and counts whom it turns away."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.page import Page
from live.server.gate import Refused
from live.server.monitoring import monitoring_text
from realtime_sim.metrics import METRICS, OF_CLIENTS
from tests.test_live_hub import Ear, enter, serve


def samples(page: Page) -> dict[str, float]:
    families = text_string_to_metric_families(monitoring_text(3, page))
    return {
        sample.name: sample.value for family in families for sample in family.samples if sample.labels["server"] == "3"
    }


def test_names_and_kinds_are_those_of_the_table():
    page = Page()
    known = {metric.name: metric for metric in METRICS.values()}
    found = list(text_string_to_metric_families(monitoring_text(3, page)))
    page.close()
    assert len(found) == len(METRICS) - len(OF_CLIENTS)
    for family in found:
        [sample] = [one for one in family.samples if not one.name.endswith("_created")]
        assert sample.name not in {METRICS[key].name for key in OF_CLIENTS}
        assert known[sample.name].kind == family.type and known[sample.name].help == family.documentation


def test_values_are_those_of_the_page_and_the_process():
    page = Page()
    for n, counter in enumerate(("connections", "subscriptions", "refused", "sends", "handshakes", "failed"), 1):
        page.set(counter, 10 * n)
    found = samples(page)
    busy = [found[METRICS["utilization"].name], samples(page)[METRICS["utilization"].name]]
    page.close()
    keys = ("active_connections", "channel_subscribers", "refused", "sends", "handshakes", "failed")
    assert [found[METRICS[key].name] for key in keys] == [10, 20, 30, 40, 50, 60]
    assert 0 < busy[0] <= busy[1]


def test_whom_a_server_turns_away_is_counted():
    async def work(hub, door, log):
        await enter(door, Ear(0))
        for _ in range(3):
            with pytest.raises(Refused, match="503 no room"):
                door.admit()

    page, _, _ = serve(work, [[0], [0]], max_connections=1)
    assert (page.get("handshakes"), page.get("refused")) == (1, 3)


def test_handshakes_that_come_to_nothing_are_counted_once():
    """One client hangs up before it is served, another while its server asks the broker."""

    async def work(hub, door, log):
        entry = door.admit()
        entry.over()
        entry.over()
        gone, good = Ear(0), Ear(1)
        gone.is_open = False
        await enter(door, gone)
        await enter(door, good)

    page, _, _ = serve(work, [[0], [0]])
    assert (page.get("handshakes"), page.get("failed"), page.get("refused")) == (1, 2, 0)
