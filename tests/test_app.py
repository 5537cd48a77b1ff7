"""The app is a page on loopback for who knows no notebooks: it follows its sliders, asks nobody else for anything, lets
what it found be taken away, and leaves nothing behind. A widget does the same in a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_sim import Scenario
from realtime_sim.app.serving import CALL, PAGE
from tests.chromium import Chromium, Page
from tests.test_cli import command

ROOT = Path(__file__).parents[1]
ARTIFACTS = ROOT / "out" / "test-artifacts"
"""Where pictures of the page are kept."""

DEADLINE_S = 240.0
"""For the first figure: many times what it takes on a busy machine, where what it needs may have to be compiled."""

SMALL = Scenario(
    name="small",
    duration=4,
    warmup=1,
    clients=[{"name": "phones", "count": 40, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}],
    servers={"count": 2},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "news", "rate": "2/s"}],
    slo={"p99": "250ms"},
)
"""Answered by the readable engine in no time."""


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--port", "70000"], "--port must be a whole number from 0 to 65_535, got 70000; use 0 for any that is free"),
        (["--set", "seed=2"], "--set must go with a scenario, got 'seed=2'; name one before it, such as chat"),
        (["chatt"], "scenario must be a preset or a file, got 'chatt'; did you mean 'chat'?"),
        (["chat", "--set", "servers.count=0"], "servers.count must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_message_before_anything_starts(words, part):
    done = command("app", "--no-browser", *words)
    assert done.returncode == 2 and part in done.stderr and done.stdout == ""


def test_without_its_packages_it_says_what_to_install(monkeypatch, capsys):
    from realtime_sim import cli

    monkeypatch.setattr("realtime_sim.cli.showing.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["realtime-sim", "app"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said == "realtime-sim: app: needs the package ipywidgets; pip install 'realtime-sim[notebook]'\n"


def test_the_page_is_one_call_that_a_scenario_can_be_put_into():
    (cell,) = json.loads(PAGE.read_text())["cells"]
    assert "".join(cell["source"]).count(CALL) == 1 and cell["outputs"] == []


# --- the page -------------------------------------------------------------------------------------------------------


def marked(folder: Path) -> list[int]:
    """Processes that were started with this folder for their temporary files, kernels among them: those have sessions
    of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def wait_until(ready, what: str, timeout_s: float = 60.0):
    """Wait for something that is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := ready()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen]:
    """A program whose temporary files go to `folder`; whatever of it is left at the end is killed."""
    folder.mkdir()
    own = {"TMPDIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    own |= {f"JUPYTER_{what}_DIR": folder.parent / "jupyter" for what in ("CONFIG", "DATA", "RUNTIME")}
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {name: str(value) for name, value in own.items()}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            for pid in marked(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def status_of(url: str, **headers: str) -> int:
    """What a request is answered with."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def complaints(page: Page, url: str) -> list[object]:
    """Errors in the console, and whatever was asked of somebody else."""
    own = (url, "data:", "blob:", "about:blank")
    errors = [line for line in page.console if line.level == "error"]
    return errors + [request for request in page.requests if not request.startswith(own)]


HANDLE = """[...document.querySelectorAll('.widget-label')].find((one) => one.innerText === 'servers: count')
  .parentElement.querySelector('[role=slider]')"""

CELL = """[...document.querySelectorAll('th')].find((one) => one.innerText === 'fullest server')
  ?.nextElementSibling.innerText"""

TOO_WIDE = """[...document.querySelectorAll('.realtime-sim-app *')].filter((node) => node.getClientRects().length
  && node.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  && !node.closest('table')).map((node) => node.outerHTML.slice(0, 100))"""
"""Tables may be scrolled sideways where they are."""


def click(text: str) -> str:
    places = "document.querySelectorAll('button, [class*=Collapse-header]')"
    return f"[...{places}].find((one) => one.innerText.trim() === {text!r}).click()"


async def move(page: Page) -> tuple[str, str]:
    """Move the slider for servers by one with the keyboard; a figure before and after."""
    await page.wait_for(CELL, DEADLINE_S)
    before = await page.evaluate(CELL)
    await page.evaluate(f"{HANDLE}.focus()")
    await page.press("ArrowRight")
    await page.wait_for(f"{CELL} !== {before!r}", DEADLINE_S)
    return before, await page.evaluate(CELL)


async def visit(url: str, folder: Path) -> None:
    """What a visitor does, from the first look to the report on the disk."""
    async with Chromium() as browser:
        page = await browser.open(url)
        waiting = await page.evaluate("document.querySelector('#loading')?.innerText")  # or it is over already
        assert waiting is None or "Starting" in waiting
        before, after = await move(page)
        assert before.startswith("20 connections") and after.startswith("14 connections")  # 40 by 2, and by 3
        assert await page.evaluate("document.title") == "realtime-sim"
        assert await page.evaluate("document.documentElement.lang") == "en"
        await page.wait_for("document.querySelectorAll('.realtime-sim-app img').length === 4", DEADLINE_S)
        assert await page.evaluate("[...document.images].every((one) => one.alt.length > 20)")

        await page.evaluate(click("The same as YAML, to be changed"))
        await page.evaluate(
            "(() => { const text = document.querySelector('.realtime-sim-yaml textarea');"
            "text.value = text.value.replace('count: 40', 'count: many');"
            "text.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        await page.evaluate(click("Use this YAML"))
        await page.wait_for("document.querySelector('[role=alert]')")
        assert "clients[0].count must be a whole number" in await page.text("[role=alert]")
        assert "many" in await page.evaluate("document.querySelector('.realtime-sim-yaml textarea').value")
        assert await page.evaluate(CELL) == after

        await browser.send("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
        await page.evaluate(click("Make a report of this run"))
        await page.wait_for("document.querySelector('a[download=\"small-run.html\"]')", DEADLINE_S)
        await page.evaluate("document.querySelector('a[download=\"small-run.html\"]').click()")
        await asyncio.to_thread(wait_until, (folder / "small-run.html").exists, "no report was saved")
        report = (folder / "small-run.html").read_text(encoding="utf-8")
        assert report.startswith("<!doctype html>") and report.rstrip().endswith("</html>") and "count: 3" in report

        for name, width in (("app", 1280), ("app-narrow", 400)):
            await page.resize(width, 900)
            assert await page.evaluate(TOO_WIDE) == [], width
            height = await page.evaluate("document.documentElement.scrollHeight")
            assert height > 2000  # as long as what it holds
            await page.screenshot(ARTIFACTS / f"{name}.png", width, height)
        await page.prefer(color_scheme="dark")
        await page.screenshot(ARTIFACTS / "app-dark.png", 1280, 1400)
        assert complaints(page, url) == []
        await page.evaluate("location.assign('about:blank')")
        await asyncio.to_thread(wait_until, lambda: len(marked(folder.parent / "tmp")) == 1, "its kernel goes on")


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
def test_a_visitor_moves_a_slider_and_takes_a_report_away_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL.to_yaml())
    (tmp_path / "saved").mkdir()
    words = ("-m", "realtime_sim", "app", str(tmp_path / "small.yaml"), "--no-browser")
    with started(tmp_path / "tmp", *words) as server:
        url = re.fullmatch(r"The page is at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n", server.stdout.readline())[1]
        asyncio.run(visit(url, tmp_path / "saved"))

        assert status_of(url, Host="elsewhere.example") == 403  # a name elsewhere that was made to lead here
        for place in ("voila/files/explorer.ipynb", "tree", "api/contents", "api/terminals", "lab"):
            assert status_of(url + place) in (403, 404), place
        port = url.split(":")[-1].strip("/")
        second = command("app", "--no-browser", "--port", port)
        assert second.returncode == 2 and f"port {port}: is taken; choose another one" in second.stderr

        assert status_of(url) == 200  # there is a kernel when the signal comes
        assert len(marked(tmp_path / "tmp")) == 2
        os.killpg(server.pid, signal.SIGINT)
        out, err = server.communicate(timeout=60)
        assert (server.returncode, out) == (0, "") and "Traceback" not in err
        assert marked(tmp_path / "tmp") == [] and list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
def test_a_server_that_is_killed_takes_its_kernels_with_it(tmp_path):
    with started(tmp_path / "tmp", "-m", "realtime_sim", "app", "--no-browser") as server:
        url = server.stdout.readline().split()[4]
        assert status_of(url) == 200 and len(marked(tmp_path / "tmp")) == 2
        server.kill()
        server.wait()
        wait_until(lambda: not marked(tmp_path / "tmp"), "a kernel is left")


# --- a notebook -----------------------------------------------------------------------------------------------------

OF_ANOTHER = """
import sys
from pathlib import Path
from realtime_sim.app import serving

serving.PAGE = Path(sys.argv[1])
serving.serve(None, 0, lambda url: print(url, flush=True))
"""
"""A program that serves a notebook of one's own."""

ATTEMPTS = """[...document.querySelectorAll('tr')].map((one) => one.innerText).find((one) => one.startsWith('fixed'))"""


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
def test_a_widget_follows_its_slider_in_a_notebook(tmp_path):
    source = (
        f"from realtime_sim import Scenario, widgets\n\nwidgets.storm(Scenario.from_yaml({SMALL.to_yaml()!r}), 'fixed')"
    )
    cell = {"cell_type": "code", "id": "x", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {"title": "mine"}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "mine.ipynb").write_text(json.dumps(notebook))

    async def body(url: str) -> None:
        async with Chromium() as browser:
            page = await browser.open(url)
            await page.wait_for(ATTEMPTS, DEADLINE_S)
            before = await page.evaluate(ATTEMPTS)
            await page.evaluate(f"{HANDLE.replace('servers: count', 'phones: count')}.focus()")
            await page.press("ArrowRight")
            await page.wait_for(f"{ATTEMPTS} !== {before!r}", DEADLINE_S)
            assert await page.evaluate("document.title") == "mine"
            await page.screenshot(ARTIFACTS / "storm-notebook.png", 1280, 900)
            assert complaints(page, url) == []

    with started(tmp_path / "tmp", "-c", OF_ANOTHER, str(tmp_path / "mine.ipynb")) as server:
        asyncio.run(body(server.stdout.readline().strip()))
