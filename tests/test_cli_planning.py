"""`realtime-sim plan` prints, writes and judges what Python does, and says what is wrong in one message."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from realtime_sim import size
from realtime_sim.planning import plan
from tests.plans import CASE, by_arithmetic
from tests.test_cli import command
from tests.test_report import Tree

PRICES = "currency: EUR\nserver_per_hour: {websockets-asyncio: 0.1, centrifugo: 0.2}\n"


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("cases") / "chat.yaml"
    path.write_text(CASE.to_yaml(), encoding="utf-8")
    return str(path)


def test_the_table_is_that_of_python(case):
    done = command("plan", case, "--no-queueing")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(by_arithmetic())


def test_a_report_and_json_are_written(case, tmp_path):
    done = command(
        "plan", case, "--replications", "1", "--slo", "p99=1s", "--slo", "survive_servers=0",
        "--report", str(tmp_path / "a" / "plan.html"), "--json", str(tmp_path / "plan.json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = plan(CASE.replace(**{"slo.p99": "1s", "slo.survive_servers": 0}), replications=1)
    assert f"Report: {tmp_path / 'a' / 'plan.html'}" in done.stdout and expected.headline in done.stdout
    plain = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert plain["servers"] == expected.servers and plain["scenario"]["slo"]["p99"] == "1s"
    assert {row["growth"] for row in plain["sizing"]["rows"]} == {1, 2, 5, 10}
    words = Tree((tmp_path / "a" / "plan.html").read_text(encoding="utf-8")).words
    assert "By arithmetic: limits and a reserve" in words and "picows-asyncio x10" in words


def test_prices_and_growth_make_a_sizing_table(case, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES)
    words = ["plan", case, "--no-queueing", "--growth", "1,3", "--prices", str(tmp_path / "prices.yaml")]
    found = json.loads(command(*words, "--json", "-").stdout)["sizing"]
    profiles = ["websockets-asyncio", "centrifugo"]
    prices = {"currency": "EUR", "server_per_hour": {"websockets-asyncio": 0.1, "centrifugo": 0.2}}
    expected = size(CASE, profiles=profiles, growth=(1, 3), prices=prices, queueing=False)
    assert found == expected.to_plain()
    assert str(expected) in command(*words).stdout


def test_growth_is_planned_by_simulation_where_queueing_counts(case):
    done = command("plan", case, "--replications", "1", "--growth", "0.5", "--slo", "survive_servers=0", "--json", "-")
    (row,) = json.loads(done.stdout)["sizing"]["rows"]
    small = CASE.replace(**{"slo.survive_servers": 0})
    assert row["servers"] == size(small, growth=(0.5,), replications=1).frame.loc[0, "servers"]
    assert row["clients"] == 40 and row["confident"] is not None


def test_other_fields_are_chosen_among(case):
    found = json.loads(command("plan", case, "--no-queueing", "--over", "servers.workers=1,2", "--json", "-").stdout)
    assert [one["chosen"] for one in found["alternatives"]] == [{"servers.workers": 1}, {"servers.workers": 2}]


def again(page: Path, folder: Path) -> str:
    """What the first command of a page prints, where its files were saved as it says. The page is Markdown."""
    text = page.read_text(encoding="utf-8")
    for name, body in re.findall(r"^([\w.]+\.yaml)\n\n```yaml\n(.*?)```$", text, re.DOTALL | re.MULTILINE):
        (folder / name).write_text(body, encoding="utf-8")
    words = shlex.split(re.search(r"^realtime-sim (plan .*)$", text, re.MULTILINE).group(1))
    done = command(*words, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.replace("plan.html", page.name)


@pytest.mark.parametrize(
    "words",
    [
        ["--no-queueing", "--over", "servers.max_connections=30,80", "--growth", "1,3"],
        ["--no-queueing", "--over", "broker={kind: none},{kind: redis_pubsub}", "--set", "traffic[0].rate=20/s"],
        ["--slo", "p99=1s", "--slo", "survive_servers=0", "--replications", "1"],
        ["--set", "slo={p99: 5ms}"],
    ],
)
def test_the_command_on_the_page_gives_the_plan_again(case, words, tmp_path):
    """With the files that the page holds, saved as it says, in a folder where nothing else is."""
    (tmp_path / "table.yaml").write_text(PRICES)
    (tmp_path / "elsewhere").mkdir()
    page = tmp_path / "page.md"
    done = command("plan", case, *words, "--prices", str(tmp_path / "table.yaml"), "--report", str(page))
    assert done.returncode in (0, 1), done.stderr
    assert again(page, tmp_path / "elsewhere") == done.stdout.replace(str(page), page.name)


def test_what_was_chosen_is_what_is_sized(case, tmp_path):
    """Twice the room: 40 connections a server as asked, 80 as chosen. The first row is the scenario of the plan."""
    words = ["plan", case, "--no-queueing", "--over", "servers.max_connections=30,80", "--growth", "1,4", "--json", "-"]
    (tmp_path / "prices.yaml").write_text(PRICES)
    found = json.loads(command(*words, "--prices", str(tmp_path / "prices.yaml")).stdout)
    chosen = CASE.replace(**{"servers.max_connections": 80})
    assert found["chosen"] == {"servers.max_connections": 80}
    own = [row for row in found["sizing"]["rows"] if row["profile"] == CASE.servers.profile]
    assert [row["growth"] for row in own] == [1, 4] and own[0]["servers"] == found["servers"]
    grown_too = size(chosen, growth=(4,), queueing=False).frame.loc[0, "servers"]
    as_asked = size(CASE.replace(**{"servers.max_connections": 30}), growth=(4,), queueing=False)
    assert own[1]["servers"] == grown_too != as_asked.frame.loc[0, "servers"]


def test_a_price_of_what_may_be_chosen_is_missed_before_anything_is_planned(case, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES)
    over = ["--over", "servers.profile=centrifugo,picows-asyncio", "--prices", str(tmp_path / "prices.yaml")]
    done = command("plan", case, *over)
    assert done.returncode == 2 and done.stdout == ""
    assert "prices.yaml: prices.server_per_hour" in done.stderr and "'picows-asyncio' has no price" in done.stderr


def test_no_answer_is_a_missed_promise(case):
    done = command("plan", case, "--set", "slo={p99: 5ms}")
    assert done.returncode == 1 and "no number of servers keeps every promise" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--slo", "p99"], "--slo must be PATH=VALUE, got 'p99'"),
        (["--slo", "p98=1s"], "slo.p98 is not a known field"),
        (["--growth", "1;2"], "--growth must be numbers with commas between them, got '1;2'; write them like 1,2,5"),
        (
            ["--growth", "0", "--no-queueing"],
            "--growth must be a number above 0, got 0.0; use 2 for twice as many clients",
        ),
        (["--prices", "none.yaml"], "--prices must be a readable YAML file"),
        (["--replications", "0"], "--replications must be a whole number from 1"),
        (["--report", "/dev/null/x.html"], "--report must be a file that can be written"),
        (["--report", "plan.pdf", "--no-queueing"], "--report must end in .html, .md or .json"),
        (["--set", "slo=null"], "slo must promise at least one thing"),
    ],
)
def test_what_is_wrong_is_one_message(case, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("plan", case, *words)
    assert done.returncode == 2 and done.stdout == "" and message in done.stderr
    assert list(tmp_path.iterdir()) == []
