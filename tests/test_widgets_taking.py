"""What is offered for download is the system and the run that are shown; what is made can be stopped."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
import time

import pytest

from realtime_sim import Scenario, simulate
from realtime_sim.widgets.running import Cancelled
from realtime_sim.widgets.taking import Making, Taking, link
from tests.conftest import small


@pytest.fixture(scope="module")
def run():
    return simulate(small(traffic=[{"name": "news", "rate": "2/s"}], slo={"p99": "250ms"}))


def content(offered: str) -> str:
    """What is in the file of a link."""
    return base64.b64decode(re.search(r'base64,([^"]*)"', offered)[1]).decode()


def test_a_file_in_a_link_has_its_name_and_its_bytes():
    offered = link("a: 1\n", 'x".yaml', "application/yaml", "take <it>")
    assert offered.startswith('<a download="x&quot;.yaml" href="data:application/yaml;base64,')
    assert content(offered) == "a: 1\n" and offered.endswith(">take &lt;it&gt;</a>")


def test_yaml_and_report_are_those_of_the_run(run):
    taking = Taking()
    assert taking.layout.display == "none"
    taking.show(run)
    assert taking.layout.display is None
    assert Scenario.from_yaml(content(taking.yaml.value)) == run.scenario
    taking.report.begin.click()
    page = content(taking.report.said.value)
    assert page.startswith("<!doctype html>") and "small" in page
    assert 'download="small-run.html"' in taking.report.said.value
    taking.show(run)
    assert taking.report.said.value == ""  # a report of what was shown before is not offered any more


def test_a_plan_is_made_of_the_promises_in_the_field(run):
    taking = Taking()
    taking.show(run)
    assert taking.promises.value == "p99: 250ms"
    taking.promises.value = "p99: 300ms, survive_servers: 1"
    taking.plan.begin.click()
    assert "survive" in content(taking.plan.said.value)
    assert taking.plan.cancel.layout.display == "none" and not taking.plan.begin.disabled


@pytest.mark.parametrize(
    ("promises", "part"),
    [
        ("", "slo must promise at least one thing"),
        ("p98: 1s", "slo.p98"),
        ("p99: [", "slo must be promises, got &#x27;p99: [&#x27;; write them like p99: 250ms"),
        ("p99: -1s", "slo.p99 must be"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(promises, part, run):
    taking = Taking()
    taking.show(run)
    taking.promises.value = promises
    taking.plan.begin.click()
    assert part in taking.plan.said.value and 'role="alert"' in taking.plan.said.value


def test_what_is_made_shows_how_far_it_is_and_can_be_stopped():
    """With an event loop, as in a notebook, it is made beside the loop."""
    go_on, ended = threading.Event(), []

    def make(progress):
        try:
            while not go_on.is_set():
                progress(0.5)
                time.sleep(0.01)
        except BaseException as error:
            ended.append(type(error))
            raise
        return b"page"

    async def body() -> None:
        making = Making("Make", make, lambda: "x.html")
        making.begin.click()
        async with asyncio.timeout(60):
            while making.bar.value != 0.5:
                await asyncio.sleep(0.01)
            assert making.begin.disabled and making.cancel.layout.display is None
            making.cancel.click()
            assert making.said.value == "" and not making.begin.disabled and making.cancel.layout.display == "none"
            while not ended:
                await asyncio.sleep(0.01)
            go_on.set()
            making.begin.click()
            while "download" not in making.said.value:
                await asyncio.sleep(0.01)
        assert ended == [Cancelled] and making.bar.value == 0.0 and not making.begin.disabled

    asyncio.run(body())


def test_a_page_that_is_not_wanted_any_more_is_not_offered_when_it_is_done():
    """Not everything tells how far it is: what cannot be stopped is thrown away."""
    go_on, done = threading.Event(), threading.Event()

    def make(progress):
        go_on.wait(60)
        done.set()
        return b"page"

    async def body() -> None:
        making = Making("Make", make, lambda: "x.html")
        making.begin.click()
        making.reset()
        go_on.set()
        async with asyncio.timeout(60):
            while not done.is_set() or any(one.name == "realtime-sim-widget" for one in threading.enumerate()):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # what the thread has left for the loop is done before
        assert making.said.value == "" and not making.begin.disabled

    asyncio.run(body())


def test_a_defect_is_not_hidden():
    making = Making("Make", lambda progress: 1 / 0, lambda: "x.html")
    making.begin.click()
    assert "internal error, please report it: ZeroDivisionError: division by zero" in making.said.value
    assert not making.begin.disabled
