"""The report of a plan answers a review in one page: the answer, its grounds, every figure true, nothing from afar."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from realtime_sim import size, write_report
from realtime_sim.agreement.words import value_text
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.planning import Evaluation, Plan
from realtime_sim.planning import plan as plan_of
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.profiles import PROFILES
from realtime_sim.report.page import Cell, Mark, Table
from realtime_sim.report.parts import storms
from realtime_sim.report.plan_choices import what_if
from realtime_sim.report.plan_grounds import limits_section, risks
from realtime_sim.report.plan_words import promises_in_words
from realtime_sim.scenario import Scenario, Slo
from realtime_sim.simulation import simulate
from realtime_sim.sizing import Sizing, grown, lag_of, steps_of
from realtime_sim.storms import storm_figures
from tests.chromium import Chromium
from tests.conftest import small
from tests.plans import CASE, broker_bound, by_arithmetic, deploying, full, planned, without_an_answer
from tests.test_report import Tree

ARTIFACTS = Path(__file__).parents[1] / "out" / "test-artifacts"
PRICES = {
    "currency": "EUR", "server_per_hour": {"websockets-asyncio": 0.1, "centrifugo": 0.2}, "broker_per_hour": 0.05,
    "egress_per_gb": 0.08, "source": "the list of <1 Nov>",
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


@pytest.fixture(scope="module")
def sizing(plan) -> Sizing:
    profiles = list(PRICES["server_per_hour"])
    return size(plan.scenario, profiles=profiles, growth=(1, 2), prices=PRICES, queueing=False)


@pytest.fixture(scope="module")
def pages(plan, sizing, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("plans")
    reports = {"plan": (plan, sizing), "bare": (plan, None), "none": (without_an_answer(), None),
               "static": (by_arithmetic(), None), "deploy": (deploying(), None),
               "broker": (broker_bound(), None)}  # fmt: skip
    for name, (one, table) in reports.items():
        write_report(one, folder / f"{name}.html", sizing=table)
    return {name: (folder / f"{name}.html").read_text(encoding="utf-8") for name in reports}


NAMES = ("plan", "bare", "none", "static", "deploy", "broker")


# --- what a scenario may not say is left out ------------------------------------------------------------------------


def test_a_page_is_written_where_one_server_less_cannot_be(tmp_path):
    """A fault names the fourth server, and three have none; one more than the most that a scenario may have is none."""
    named = CASE.replace(
        faults=[{"at": 3, "kind": "kill_server", "server": 3}], slo={"p99": "900ms"},
        **{"servers.count": 4, "traffic[0].rate": "5/s", "servers.max_connections": 40},
    )  # fmt: skip
    found = plan_of(named, replications=1, engine="reference")
    assert found.servers == 4
    write_report(found, tmp_path / "named.md")
    assert "chat: 4 servers" in (tmp_path / "named.md").read_text(encoding="utf-8")


def test_loads_beyond_what_a_scenario_may_say_are_left_out(tmp_path):
    crowd = CASE.replace(**{"clients[0].count": 60_000_000, "servers.max_connections": 1_000_000, "rooms": [],
                            "servers.memory": None, "traffic": [], "slo.survive_servers": None})  # fmt: skip
    write_report(plan_of(crowd, queueing=False, at_most=10_000), tmp_path / "crowd.md")
    text = (tmp_path / "crowd.md").read_text(encoding="utf-8")
    assert "CPU costs" in text and "twice the clients" not in text


def test_prices_of_other_sizes_leave_the_costs_to_the_sizing_table(plan, tmp_path):
    sizes = {"small": {"servers.memory": "1GiB"}, "large": {"servers.memory": "4GiB"}}
    prices = PRICES | {"server_per_hour": {"small": 0.1, "large": 0.3}}
    table = size(plan.scenario, sizes=sizes, prices=prices, queueing=False)
    write_report(plan, tmp_path / "sizes.md", sizing=table)
    text = (tmp_path / "sizes.md").read_text(encoding="utf-8")
    assert "small" in text and "Cost of the answer" not in text


# --- one file that everybody can read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_whole_and_stands_alone(pages, name):
    text, tree = pages[name], Tree(pages[name])
    assert tree.wrong == []
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not re.findall(r"https?:|//[a-z]|@import|<script|\bsrc=|javascript:", text)
    assert all(attrs["href"].startswith("#") and attrs["href"][1:] in ids for attrs in tree.of("a", "use"))
    assert tree.of("html") == [{"lang": "en"}] and len(tree.of("h1")) == len(tree.of("main")) == 1


@pytest.mark.parametrize("name", NAMES)
def test_figures_have_words_and_tables_have_headers(pages, name):
    tree = Tree(pages[name])
    pictures = tree.of("svg")
    assert pictures and all(attrs["role"] == "img" and len(attrs["aria-label"]) > 30 for attrs in pictures)
    assert len(tree.of("table")) == len(tree.of("caption")) == len(tree.of("thead")) > 3
    assert {attrs.get("scope") for attrs in tree.of("th")} == {"col", "row"}


# --- true to its figures --------------------------------------------------------------------------------------------


def test_a_review_finds_everything(pages, plan):
    words = Tree(pages["plan"]).words
    for part in (
        "How many servers does “chat” need, so that p99 stays within 150 ms", plan.verdict, "The answer in figures",
        "what binds", "what would bind next", "what a static calculator says", "Every promise and limit",
        "Numbers of servers that were looked at", "What queueing, storms and lag add",
        "If an autoscaler had to bring the servers", "Which limit binds", "80 clients / 96 a server = 0.83",
        f"What clients see with {plan.servers} servers", "server_wait", "Recovery from kill server", "What if",
        "one server less", "one server more", "CPU costs 1.3 times as much", "Sizes and growth", "EUR a month", "Risks",
        "they move by a factor of 1.3 to 2", "Assumptions and their sources",
        PROFILES["websockets-asyncio"].figures["send_s"].source, "given in the scenario", "Not modelled:",
        "Source of the prices: the list of <1 Nov>", "realtime-sim plan chat.yaml --replications 3", "Versions",
        "survive_servers: 1",
    ):  # fmt: skip
        assert part in words, part
    labels = [attrs["aria-label"].split(",")[0] for attrs in Tree(pages["plan"]).of("svg")]
    assert len(labels) == 8 and labels[2].startswith("How far each limit is used with")


def test_every_check_stands_on_the_page_with_its_verdict(pages, plan):
    words = Tree(pages["plan"]).words
    assert words.count("✓ kept") == sum(one.kept is True and one.sure for one in plan.answer.checks)
    assert "p99, servers die, from 5 s after that on" in words and "recovery, servers die 5 s" in words
    assert plan.outage.text in words
    for one in plan.evaluations:
        assert f"{one.servers} {_looked_at(one)}" in words
    for step in steps_of(plan):
        assert f"{step.name} {step.added:+,} {step.servers:,}" in words


def _looked_at(one: Evaluation) -> str:
    """How a number is told: what is sure alone has a tick or a cross."""
    if one.first_look:
        return f"? figures miss {', '.join(one.broken)}" if one.broken else "? figures meet all"
    if one.not_shown and not one.broken:
        return f"? not shown to keep {', '.join(one.not_shown)}"
    if one.kept:
        return "✓ keeps all" if one.sure else "? keeps all not for sure"
    return f"✗ breaks {', '.join(one.broken)}" if one.sure else f"? breaks {', '.join(one.broken)} not for sure"


def test_no_risk_tells_to_change_what_the_plan_has_chosen(plan):
    """The loss drill leaves out the deliveries of its storm by intent, and says so itself where it is run alone."""
    drill = plan.answer.results["loss"]
    assert any("is in no figure: the warm-up of " in text for text in drill.warnings)
    told = " ".join(item for block in risks(plan).blocks for item in block.items)
    assert "realtime-sim calibrate" in told
    for advice in ("is in no figure", "Set warmup", "un longer", "let the faults come later"):
        assert advice not in told


def other_loads(plan: Plan) -> dict[str, tuple[str, Cell]]:
    """Servers and what follows of each load that is not the scenario's, by its name."""
    rows = {row[0]: (row[1], row[-1]) for row in what_if(plan).blocks[0].rows}
    names = ("CPU costs 1.3 times as much", "CPU costs 2 times as much", "twice the clients", "twice the messages",
             "2 servers may be lost, not 1")  # fmt: skip
    return {name: rows[name] for name in names}


def test_arithmetic_gives_other_loads_no_tick_where_queueing_was_judged(plan):
    """Of 2 servers one is left, and breaks p99: so does one that is left of 3, and arithmetic alone calls 3 enough."""
    rows = other_loads(plan)
    assert not any(isinstance(follows, Mark) for _, follows in rows.values())
    least = {name: int(servers.removeprefix("at least ")) for name, (servers, _) in rows.items()}
    assert least["CPU costs 1.3 times as much"] == 3 and least["2 servers may be lost, not 1"] == 4
    assert "2 break p99 already" in rows["2 servers may be lost, not 1"][1]
    static = server_limits(plan.scenario.replace(**{"slo.survive_servers": 2}), plan.limits.target_utilization)
    assert static.needed == 3
    assert min(least.values()) > max(one.servers for one in plan.evaluations if not one.kept)


def test_what_other_loads_take_at_least_is_no_more_than_they_take(plan):
    """Twice the clients: the number below that bound is ruled out before anything is simulated."""
    servers, _ = other_loads(plan)["twice the clients"]
    least = int(servers.removeprefix("at least "))
    arithmetic = Arithmetic(grown(plan.scenario, 2))
    assert any(check.kept is False for check in arithmetic.checks(least - 1))
    assert all(check.kept is not False for check in arithmetic.checks(least))


def test_the_static_calculator_judges_other_loads_by_its_own_rule():
    rows = other_loads(by_arithmetic())
    assert rows["CPU costs 1.3 times as much"] == ("3", Mark("bad", "cpu binds; 2 are not enough"))
    roomy = other_loads(plan_of(CASE.replace(**{"servers.costs.event": "100us"}), queueing=False))
    assert roomy["CPU costs 1.3 times as much"] == ("2", Mark("good", "connections binds; 2 are enough"))


def test_the_cost_is_reckoned_by_hand(pages, plan, sizing):
    egress = plan.limits.row("egress").demand * 2_628_000 / 1e9 * 0.08
    total = plan.servers * 0.1 * 730 + 0.05 * 730 + egress
    words = Tree(pages["plan"]).words
    assert f"cost {total:,.0f} EUR a month" in words and "one server more costs 73 EUR" in words
    for row in sizing.frame.itertuples():
        assert f"{row.profile} x{row.growth:g} {row.clients:,} {row.servers:,}" in words
    assert "EUR" not in Tree(pages["bare"]).words and "Sizes and growth" not in Tree(pages["bare"]).words


def test_the_commands_give_the_drills_again(pages, plan):
    """Each --set of the page, read as the command line reads it, makes the very scenario that was run."""
    from realtime_sim.cli.options import assigned

    block = re.search(r"<code>(realtime-sim plan .*?)</code>", pages["plan"], re.DOTALL).group(1)
    lines = [line for line in block.replace("&#34;", '"').replace("&#39;", "'").splitlines() if " simulate " in line]
    assert "--engine reference --replications 1 " in lines[-1]
    made = []
    for line in lines:
        changes = re.findall(r"--set (?:'([^']*)'|(\S+))", line)
        made.append(CASE.replace(**dict(assigned("--set", a or b) for a, b in changes)))
    run = [case for n in (plan.servers, plan.servers - 1) for case in plan.drills(n).values()]
    run.append(plan.outage.results.scenario)
    assert [case.replace(name="x") for case in made] == [case.replace(name="x") for case in run]


def test_what_a_plan_knows_of_how_it_was_asked_for_is_in_its_command(tmp_path):
    """From Python: what was chosen among, and no runs only where none were asked for."""
    brokers = [{"kind": "none"}, {"kind": "kafka", "partitions": 12}]
    chosen = plan_of(CASE, queueing=False, over={"servers.workers": [1, 2], "broker": brokers})
    write_report(chosen, tmp_path / "chosen.md")
    assert (
        """realtime-sim plan chat.yaml --over servers.workers=1,2 --over 'broker={"kind": "none"},"""
        """{"kind": "kafka", "partitions": 12}' --no-queueing --report plan.html\n"""
    ) in (tmp_path / "chosen.md").read_text(encoding="utf-8")
    write_report(without_an_answer(), tmp_path / "none.md")
    assert "realtime-sim plan chat.yaml --report plan.html\n" in (tmp_path / "none.md").read_text(encoding="utf-8")


def test_what_somebody_wrote_is_text(pages):
    assert "<b>this</b>" not in pages["plan"] and "Does &lt;b&gt;this&lt;/b&gt; &amp; that hold?" in pages["plan"]
    assert "<1 Nov>" not in pages["plan"]


def test_a_plan_without_an_answer_says_why_and_what_arithmetic_alone_leaves_out(pages):
    plan, words = without_an_answer(), Tree(pages["none"]).words
    assert "chat: no number of servers is enough" in words and plan.blocked.text in words
    assert "✗" in words and "none is enough" in words
    words = Tree(pages["static"]).words
    assert "Nothing was simulated" in words and "--no-queueing" in words and "arithmetic alone" in words


def test_a_page_without_an_answer_is_about_what_binds_and_what_would_help(pages):
    """At the largest number looked at, 28, and not at the 4 of the scenario's file, which nobody asked about."""
    plan, tree = broker_bound(), Tree(pages["broker"])
    assert (plan.servers, plan.binding, plan.evaluations[-1].servers) == (None, "broker", 28)
    for part in ("the largest number looked at 28", "used with 28", "binds by arithmetic", "What would help",
                 "Kafka with 12 partitions", plan.remedies[0].what, plan.remedies[0].figures):  # fmt: skip
        assert part in tree.words, part
    for part in ("used with 4", "What if", "times as much", "{'kind'", "not certain", "These changes",
                 "If an autoscaler", "one server more"):  # fmt: skip
        assert part not in tree.words, part
    (limits,) = (block for block in limits_section(plan).blocks if isinstance(block, Table))
    assert [row[0] for row in limits.rows if "binds" in row[-1]] == ["broker"]
    assert "broker (binds)" in pages["broker"] and "cpu (binds)" not in pages["broker"]


def test_figures_that_differ_say_which_runs_and_which_work_they_are_of(tmp_path):
    """Of several runs the table has means and the figure the first."""
    plan = full()
    write_report(plan, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    run = plan.answer.results["loss"]
    first, mean = storm_figures(run.trace, 0)["p100_s"], run.recovery.loc[0, "p100_s"]
    assert run.n_replications > 1 and first != mean and f"all back after {value_text(mean, 's')}" in text
    assert f"Times in the table are means over {run.n_replications} runs, and figures show the first" in text
    assert "could accept if they did nothing else" in text and "accept beside their usual work" in text
    assert "An autoscaler sees them first" in text


def test_a_title_rounds_when_a_fault_came():
    run = simulate(small(faults=[{"kind": "kill_server", "at": 1.2345678, "server": 0}]))
    (section,) = storms({"run": run}, lambda number: None)
    assert section.title == "Recovery from kill server at 1.23 s"


def test_sizes_that_have_no_answer_are_left_out(tmp_path):
    plan = broker_bound()
    write_report(plan, tmp_path / "r.md", sizing=size(plan.scenario, growth=(1, 2), queueing=False))
    assert "Sizes and growth" not in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_a_deploy_has_its_own_drill(pages):
    words = Tree(pages["deploy"]).words
    assert (
        "What the control plane did: rolling deploy" in words and "all of it is kept during a rolling deploy" in words
    )


@pytest.mark.parametrize(
    ("slo", "text"),
    [
        (None, "every limit is met"),
        (Slo(p50="20ms"), "p50 stays within 20 ms"),
        (Slo(max_utilization=0.6, survive_servers=2),
         "loops and broker are busy at most 60 % of the time, and all of it is kept "
         "from 30 s after the loss of 2 servers on"),
        (Slo(headroom=0.2, recover_within="30s", survive_deploy=True),
         "20 % of connections and memory stay free, clients are back within 30 s of a fault, and all of it is kept "
         "during a rolling deploy"),
    ],
)  # fmt: skip
def test_promises_are_said_in_words(slo, text):
    assert promises_in_words(slo) == text


# --- Markdown and JSON ----------------------------------------------------------------------------------------------


def test_markdown_has_every_section(pages, plan, sizing, tmp_path):
    write_report(plan, tmp_path / "r.md", sizing=sizing)
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", pages["plan"].replace("\u00a0", " "))
    assert [f"## {title}" in text for title in titles[1:]] == [True] * (len(titles) - 1)
    assert "*Figure: Servers step by step: arithmetic" in text


def test_json_is_the_plan_with_its_steps_its_lag_and_its_sizing(plan, sizing, tmp_path):
    write_report(plan, tmp_path / "r.json", sizing=sizing)
    plain = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert {name: plain[name] for name in plan.to_plain()} == json.loads(plan.to_json())
    assert plain["steps"] == [step.to_plain() for step in steps_of(plan)]
    assert plain["autoscaling_lag"] == lag_of(plan).to_plain() and plain["sizing"] == sizing.to_plain()
    write_report(without_an_answer(), tmp_path / "n.json")
    assert json.loads((tmp_path / "n.json").read_text())["steps"] == []


def test_the_same_report_is_the_same_file(plan, tmp_path):
    for name in ("one", "two"):
        write_report(plan, tmp_path / f"{name}.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


# --- errors ---------------------------------------------------------------------------------------------------------


def test_a_sizing_goes_with_a_plan_alone(sizing, tmp_path):
    with pytest.raises(ScenarioError, match="sizing must go with a Plan, got 'Results'; leave it out"):
        write_report(simulate(small()), tmp_path / "r.html", sizing=sizing)
    with pytest.raises(ScenarioError, match="asked must go with a Plan, got 'Results'; leave it out"):
        write_report(simulate(small()), tmp_path / "r.html", asked=["--replications", "1"])


# --- in a browser ---------------------------------------------------------------------------------------------------


NARROW = """(() => {
  const boxes = [...document.querySelectorAll('.table, .drawn, pre')];
  const texts = [...document.querySelectorAll('td')].filter((one) => one.innerText.length > 40);
  const shade = (one) => getComputedStyle(one).backgroundImage.includes('linear-gradient');
  return {
    columns: Math.min(...texts.map((one) => one.getBoundingClientRect().width)),
    rows: Math.max(...[...document.querySelectorAll('tbody tr')].map((one) => one.getBoundingClientRect().height)),
    figures: Math.min(...[...document.querySelectorAll('svg.plot')].map(
      (one) => one.getBoundingClientRect().width / one.viewBox.baseVal.width)),
    plain: boxes.filter((one) => one.scrollWidth > one.clientWidth && !shade(one)).length,
    reached: boxes.filter((one) => one.scrollWidth > one.clientWidth && one.tabIndex < 0).length,
  };
})()"""
"""The narrowest cell with a text, the highest row, how large figures are drawn, and boxes with more than they show."""


@pytest.mark.live
def test_a_page_can_be_read_on_a_phone(plan, sizing, tmp_path):
    """390 pixels: a text has 15rem less its padding, rows have no more than seven lines, figures their own size;
    a box that holds more than it shows says so at its edge, and the keyboard can move it."""
    write_report(plan, tmp_path / "plan.html", sizing=sizing)

    async def body() -> dict[str, float]:
        async with Chromium() as browser:
            page = await browser.open((tmp_path / "plan.html").as_uri(), width=390, height=844)
            return await page.evaluate(NARROW)

    found = asyncio.run(body())
    assert found["columns"] >= 240 and found["rows"] < 7 * 14 * 1.4 + 12 and found["figures"] >= 1
    assert found["plain"] == found["reached"] == 0


@pytest.mark.live
def test_a_browser_shows_it_without_a_complaint_and_without_the_network(plan, sizing, tmp_path):
    """Wide, narrow and dark; nothing sticks out of the page, no text of a figure leaves it. Pictures are kept."""
    write_report(plan, tmp_path / "plan.html", sizing=sizing)
    address = (tmp_path / "plan.html").as_uri()

    async def body() -> None:
        async with Chromium() as browser:
            page = await browser.open(address, width=1280, height=900)
            for name, width, scheme in (("wide", 1280, "light"), ("narrow", 390, "light"), ("dark", 1280, "dark")):
                await page.prefer(color_scheme=scheme)
                await page.screenshot(ARTIFACTS / f"plan-{name}.png", width, 900, whole=True)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert await page.text("h1") == f"chat: {plan.servers} servers"
            assert page.requests == [address] and page.console == []

    asyncio.run(body())


def test_the_case_is_what_the_tests_take_it_for():
    assert Scenario.from_yaml(CASE.to_yaml()) == CASE and planned().servers == 3
