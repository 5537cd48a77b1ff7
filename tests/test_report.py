"""A report is one page that stands alone: valid, readable by everybody, the same every time, true to its figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from realtime_sim import compare, write_report
from realtime_sim.agreement import Comparison, compare_json
from realtime_sim.errors import ScenarioError
from realtime_sim.report.markdown import markdown_of
from realtime_sim.report.page import SIGNS, Code, Items, Mark, Noted, Page, Section, Table, Text
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from tests.conftest import as_live, small

OUTAGE = Path(__file__).parent.parent / "examples" / "slow_analytics.yaml"
VOID = {"meta", "link", "br", "hr", "img", "input"}
CASE = Scenario(
    name="two",
    description="Does <b>this</b> & that hold?",
    duration=10,
    warmup=1,
    clients=[{"name": "c", "count": 40, "network": {"rtt": {"median": "8ms", "p99": "40ms"}}}],
    servers={"count": 2, "costs": {"event": "2ms", "handshake": "5ms"}},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "t", "rate": 20}],
    faults=[{"at": "4s", "kind": "kill_server", "server": 0}],
    slo={"p99": "1s", "recover_within": "1ms"},
)
CONDITIONS = {
    "valid": True, "reasons": [], "broker": "embedded <Valkey>", "host_cores": 2, "foreign_cores": 0.07,
    "processes": [{"name": "server 0", "cpu_ratio": 0.41, "wait_ratio": 0.1, "memory_bytes": 41 * 2**20}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Results:
    return simulate(CASE)


@pytest.fixture(scope="module")
def found(run) -> Comparison:
    slow = CASE.replace(**{"servers.costs.event": "2600us"})
    return compare(run, [as_live(simulate(slow), **CONDITIONS), as_live(simulate(CASE), **CONDITIONS)])


@pytest.fixture(scope="module")
def pages(run, found, tmp_path_factory) -> dict[str, str]:
    """HTML of every kind of report, by its name."""
    folder = tmp_path_factory.mktemp("reports")
    other = simulate(CASE.replace(**{"servers.costs.event": "9ms"}), replications=2)
    for name, side in (("a", run), ("b", as_live(run, **CONDITIONS))):
        side.to_json(folder / f"{name}.json")
    reports = {
        "validation": found,
        "paired": compare(simulate(CASE, replications=2), other, labels=("<now>", "then")),
        "json": compare_json(folder / "a.json", folder / "b.json"),
        "run": run,
        "replications": other,
        "live": as_live(run, **CONDITIONS),
        "services": simulate(Scenario.from_yaml(OUTAGE).replace(duration="20s", faults=[])),
        "silent": simulate(small()),
    }
    for name, report in reports.items():
        write_report(report, folder / f"{name}.html")
    return {name: (folder / f"{name}.html").read_text(encoding="utf-8") for name in reports}


NAMES = ("validation", "paired", "json", "run", "replications", "live", "services", "silent")


class Tree(HTMLParser):
    """Tags with their attributes, and what is wrong with their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at line {self.getpos()[0]}")

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in names]

    @property
    def words(self) -> str:
        """Everything that is to be read, with plain spaces."""
        return " ".join("".join(self.text).split())


# --- one file that everybody can read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_tag_is_closed_and_every_id_is_given_once(pages, name):
    tree = Tree(pages[name])
    assert tree.wrong == []
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    asked = {attrs["href"][1:] for attrs in tree.of("a", "use")} | {
        attrs["aria-labelledby"] for _, attrs in tree.tags if "aria-labelledby" in attrs
    }
    assert asked <= set(ids) and asked


@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_from_elsewhere(pages, name):
    """No address, no script, no picture; the page forbids itself to ask."""
    text, tree = pages[name], Tree(pages[name])
    assert not re.findall(r"https?:|//[a-z]|@import|<script|\bsrc=|javascript:", text)
    assert all(attrs["href"].startswith("#") for attrs in tree.of("a", "use", "link"))
    assert re.findall(r"url\(([^)]*)\)", text) == re.findall(r"url\((#[^)]*)\)", text)
    (policy,) = (attrs["content"] for attrs in tree.of("meta") if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", NAMES)
def test_figures_have_words_and_tables_have_headers(pages, name):
    tree = Tree(pages[name])
    pictures = tree.of("svg", "img")
    assert all(attrs.get("role") == "img" and len(attrs.get("aria-label", "")) > 30 for attrs in pictures)
    assert name == "json" or pictures
    assert len(tree.of("table")) == len(tree.of("caption")) == len(tree.of("thead")) > 0
    scopes = [attrs.get("scope") for attrs in tree.of("th")]
    assert set(scopes) == {"col", "row"}
    assert tree.of("html") == [{"lang": "en"}] and len(tree.of("h1")) == len(tree.of("main")) == 1


@pytest.mark.parametrize("name", NAMES)
def test_levels_of_titles_leave_none_out(pages, name):
    levels = [int(tag[1]) for tag, _ in Tree(pages[name]).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and set(levels[1:]) == {2}


def test_the_same_report_is_the_same_file(found, tmp_path):
    for name in ("one", "two"):
        write_report(found, tmp_path / name / "r.html")
    assert (tmp_path / "one" / "r.html").read_bytes() == (tmp_path / "two" / "r.html").read_bytes()


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_letters_stand_out_by_day_and_by_night_and_lines_of_figures_too(pages):
    """WCAG 2.2 AA: 4.5 for text, 3 for what a figure is read from. Black on white is 21, by the formula."""
    assert contrast("#000000", "#ffffff") == 21
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
                   for block in re.findall(r":root \{(.*?)\}", pages["run"], flags=re.DOTALL))  # fmt: skip
    lines = {"plot-blue": "#0072b2", "plot-vermilion": "#d55e00", "plot-green": "#009e73"}
    for palette in (lines | light, lines | light | dark):
        marks = [(ink, f"{kind}-soft") for kind in SIGNS for ink in (kind, "ink")]
        for ink, paper in (("ink", "paper"), ("muted", "paper"), ("link", "paper"), ("ink", "soft"), *marks):
            assert contrast(palette[ink], palette[paper]) >= 4.5, (ink, paper)
        for line in lines:
            assert contrast(palette[line], palette["paper"]) >= 3, line


# --- true to its figures --------------------------------------------------------------------------------------------


def test_the_verdict_comes_first_and_every_figure_has_one(pages, found):
    words = Tree(pages["validation"]).words
    assert found.verdict in words and words.index(found.verdict) < words.index("Figures")
    for name, row in found.figures.iterrows():
        if row["verdict"] not in ("not judged",):
            assert f"{name} " in words and row["verdict"] in words
    assert "✓ agrees" in words and "– not determined" in words


def test_a_validation_has_all_its_parts(pages):
    words = Tree(pages["validation"]).words
    for part in (
        "Does the simulation say what a real cluster does with “two”?", "Delivery latency", "Where the time goes",
        "to_server", "Connections", "Recovery from kill server at 4 s", "What the control plane did",
        "Were the live runs valid?", "embedded <Valkey>", "41 % · 41 %", "41.0 MiB", "Which counts must be equal",
        "servers.costs.event", "two.yaml", "kind: kill_server", "realtime-sim validate two.yaml", "Versions", "simpy",
    ):  # fmt: skip
        assert part in words, part
    labels = [attrs["aria-label"] for attrs in Tree(pages["validation"]).of("svg")]
    assert [label.split(",")[0].split(" of ")[0] for label in labels] == [
        "Share", "Bars", "Open connections over time", "Connection attempts per second",
    ]  # fmt: skip


def test_what_somebody_wrote_is_text(pages):
    assert "<b>this</b>" not in pages["run"] and "Does &lt;b&gt;this&lt;/b&gt; &amp; that hold?" in pages["run"]
    assert "<now>" not in pages["paired"] and "&lt;now&gt; against then" in pages["paired"]
    assert "<Valkey>" not in pages["validation"]


def test_two_simulations_say_what_differs_and_how_to_run_them(pages):
    words = Tree(pages["paired"]).words
    assert "Do <now> and then differ?" in words and "What differs in the scenarios" in words
    assert "realtime-sim simulate two.yaml --engine reference --replications 2 --set=servers.costs.event=9ms" in words
    assert "realtime-sim compare a.json b.json" in words


def test_runs_of_json_have_tables_and_say_that_there_are_no_curves(pages):
    words = Tree(pages["json"]).words
    assert "read from JSON, which has no curves" in words and "embedded <Valkey>" in words


def test_a_run_is_judged_by_its_promises(pages):
    words = Tree(pages["run"]).words
    assert "✗ Missed: recovery." in words and "✗ missed" in words and "✓ kept" in words
    assert "– Nothing was promised (slo):" in Tree(pages["services"]).words
    assert "event to finished" in pages["services"] or "Services ahead of the push tier" in pages["services"]
    assert "realtime-sim live two.yaml" in Tree(pages["live"]).words


def test_a_run_that_is_not_valid_decides_nothing(run, tmp_path):
    bad = as_live(run, valid=False, reasons=["foreign load"])
    write_report(bad, tmp_path / "r.html")
    words = Tree((tmp_path / "r.html").read_text()).words
    assert "– Not decided: the run is not valid." in words and "This run is not valid: foreign load." in words
    assert "✗ not valid" in words and "✗ missed" not in words and "– not decided" in words
    slow = as_live(simulate(CASE.replace(**{"servers.costs.event": "9ms"})), valid=False, reasons=["foreign load"])
    write_report(compare(run, slow), tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert "– Not decided: no live run is valid." in Tree(text).words and "– not decided" in Tree(text).words
    assert re.findall(r'"mark bad">.*?</span> ([\w ]+)<', text) == ["not valid"]  # which the run says of itself


def test_why_a_run_is_left_out_is_said_once(run, tmp_path):
    write_report(compare(run, [as_live(run), as_live(run, valid=False, reasons=["foreign load"])]), tmp_path / "c.md")
    before, _, after = (tmp_path / "c.md").read_text().partition("## Were the live runs valid?")
    assert before.count("foreign load") == 1 and "Live run 2 is not valid: foreign load. It is left out." in before
    assert "foreign load" in after


# --- Markdown and JSON ----------------------------------------------------------------------------------------------


def test_columns_of_markdown_tables_line_up(run, found, tmp_path):
    for name, report in (("c", found), ("r", run)):
        write_report(report, tmp_path / f"{name}.md")
        blocks = (tmp_path / f"{name}.md").read_text(encoding="utf-8").split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) > 3
        for lines in tables:
            assert (
                len({tuple(i for i, c in enumerate(line) if c == "|" and line[i - 1] != "\\") for line in lines}) == 1
            )
            assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_markdown_tells_figures_in_words_and_nothing_in_it_is_markup():
    marks = Mark("bad", "off by 3", "a|b")
    table = Table(
        "T*", ("x", "n"), [["a|b", "1"], ["long name", Noted("22", "1 to 3")], ["<i>", marks]], frozenset({1})
    )
    page = Page("# t", "q", Mark("good", "yes"), "about", [
        Section("S", [Text("a_b _c_ <c>"), Items(["*x*"]), Code("a: ```\n", "yaml", "f.yaml"), table])])  # fmt: skip
    assert markdown_of(page) == "\n\n".join([
        "# # t", "q", "**✓ yes**", "about", "## S", "a_b \\_c\\_ &lt;c>", "- \\*x\\*", "f.yaml",
        "````yaml\na: ```\n````", "T\\*",
        "| x         |                 n |\n"
        "| --------- | ----------------: |\n"
        "| a\\|b      |                 1 |\n"
        "| long name |       22 (1 to 3) |\n"
        "| &lt;i>    | ✗ off by 3 (a\\|b) |",
    ]) + "\n"  # fmt: skip


def test_json_is_that_of_the_object_itself(run, found, tmp_path):
    for name, report in (("r", run), ("c", found)):
        write_report(report, str(tmp_path / f"{name}.JSON"))
        assert json.loads((tmp_path / f"{name}.JSON").read_text()) == report.to_plain()


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "path", "message"),
    [
        (lambda run: run, "r.htm", "path must end in .html, .md or .json, got"),
        (lambda run: run, "report", "add one of them"),
        (
            lambda run: run.scenario,
            "r.html",
            "report must be about a Comparison, Plan or Results, got 'Scenario'; make one",
        ),
        (lambda run: run, "folder/", "path must end in"),
    ],
)
def test_what_cannot_be_written_is_one_clear_message(run, make, path, message, tmp_path):
    with pytest.raises(ScenarioError) as error:
        write_report(make(run), tmp_path / path)
    assert message in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing_behind(run, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ScenarioError, match="output must be a file that can be written"):
        write_report(run, tmp_path / "file" / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.mark.live
def test_a_browser_shows_it_by_day_and_by_night_and_prints_it_without_a_complaint(found, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium on PATH")
    write_report(found, tmp_path / "r.html")
    base = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        "--window-size=1000,2000", f"--user-data-dir={tmp_path / 'profile'}",
    ]  # fmt: skip
    outputs = {
        "light.png": "--blink-settings=preferredColorScheme=1 --screenshot=",
        "dark.png": "--blink-settings=preferredColorScheme=0 --screenshot=",
        "r.pdf": "--print-to-pdf=",
    }
    for name, options in outputs.items():
        words = f"{options}{tmp_path / name}".split()
        ended = subprocess.run([*base, *words, f"file://{tmp_path / 'r.html'}"], capture_output=True, timeout=120)
        assert ended.returncode == 0 and b"CONSOLE" not in ended.stderr, ended.stderr.decode()[-2000:]
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
