"""The documentation builds without a warning, holds all that is public, and asks nobody for anything."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer

import live
import realtime_sim
from realtime_sim import guide, presets
from realtime_sim.cli.app import app
from realtime_sim.metrics import METRICS
from tests.chromium import Chromium

ROOT = Path(__file__).parent.parent
OUT = ROOT / "out" / "test-artifacts"
WRITTEN = {
    file: file.read_text(encoding="utf-8")
    for file in (ROOT / "docs").rglob("*.md")
    if file.parent != ROOT / "docs" / "reference" / "python"
}
"""Pages that are written by hand."""
GLOSSARY = ROOT / "docs" / "background" / "glossary.md"
NOTEBOOKS = sorted(file.stem for file in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
"""What a browser asks for while it shows a page, but for links to other pages of it."""


class Page(HTMLParser):
    """What a page is called by, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.ids, self.links, self.loads = text, set(), [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if address := given.get(LOADED.get(tag, "")):
            self.loads.append(address)

    @property
    def words(self) -> str:
        """Text of the page, without marks."""
        return unescape(re.sub(r"<[^>]+>", "", self.text))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Where the documentation lies, built as `make docs` does."""
    out = tmp_path_factory.mktemp("docs")
    (line,) = re.findall(r"-m (sphinx .+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    words = line.replace('"$(OUT)', str(out)).replace('"', "").split()
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out / "docs"


@pytest.fixture(scope="module")
def pages(built) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in built.rglob("*.html")}


def test_every_public_name_has_its_docstring_on_a_page(pages):
    names = {f"live.{name}" for name in live.__all__}
    for name, home in realtime_sim._EXPORTS.items():
        names.add(f"realtime_sim.{home}" + (f".{name}" if name != home else ""))
    assert names - set().union(*(page.ids - {None} for page in pages.values())) - modules(pages) == set()


def modules(pages: dict[Path, Page]) -> set[str]:
    """Modules with a page; their anchors begin with a word of Sphinx's own."""
    return {name.removeprefix("module-") for page in pages.values() for name in page.ids if name and "module-" in name}


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("commands", [*typer.main.get_command(app).commands]),
        ("scenario", [path for path, _, _ in guide.parts()]),
        ("scenario", [row[0] for _, _, rows in guide.parts() for row in rows]),
        ("policies", [row[0] for _, _, rows in guide.families() for row in rows]),
        ("profiles", [row[-1] for _, _, rows in guide.cost_tables() for row in rows]),
        ("metrics", [metric.name for metric in METRICS.values()]),
        ("examples", [*presets.NAMES, *(file.name for file in (ROOT / "examples").glob("*.*"))]),
        ("python", [*realtime_sim._EXPORTS]),
    ],
)
def test_what_is_registered_is_on_its_page(built, pages, page, said):
    words = pages[built / "reference" / f"{page}.html"].words
    assert said
    assert [text for text in said if text.replace("`", "") not in words] == []


def test_every_option_of_every_command_is_on_its_page(built, pages):
    words = pages[built / "reference" / "commands.html"].words
    for command in typer.main.get_command(app).commands.values():
        assert [
            name for option in command.params for name in option.opts if name.startswith("--") and name not in words
        ] == []


def test_every_notebook_is_a_chapter_of_the_tutorial(built, pages):
    notebooks = {f"notebooks/{name}.html" for name in NOTEBOOKS}
    linked = {link for link in pages[built / "tutorial.html"].links if link.startswith("notebooks/")}
    assert {link.partition("#")[0] for link in linked} == notebooks


def test_links_lead_to_a_page_and_to_a_place_on_it(built, pages):
    """But for those to a notebook that is not there yet."""
    broken, checked = [], 0
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link.endswith(".ipynb"):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            known = pages[target].ids | {""} if target in pages else {""} if target.exists() else set()
            checked += 1
            if unquote(parts.fragment) not in known:
                broken.append(f"{file.relative_to(built)}: {link}")
    assert checked > 1_000 and broken == []


def test_pages_load_nothing_from_elsewhere(built, pages):
    loaded = {address for page in pages.values() for address in page.loads if not address.startswith("data:")}
    assert [address for address in loaded if urlsplit(address).netloc] == []
    styles = "".join(file.read_text(encoding="utf-8") for file in built.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)[\"' ]*(?:https?:)?//[^)]*", styles) == []


def test_words_of_the_glossary_are_used_and_sorted():
    terms = re.findall(r"^(\w.*)\n  \w", WRITTEN[GLOSSARY], flags=re.MULTILINE)
    used = set()
    for text in WRITTEN.values():
        used.update(re.findall(r"\{term\}`(?:[^<`]*<)?([^>`]+)>?`", text))
    assert len(terms) > 20 and terms == sorted(terms)
    assert [term for term in terms if term not in {word[0].lower() + word[1:] for word in used}] == []


def test_headings_that_the_guide_to_reports_names_are_those_of_reports():
    """A heading may go on with what it is about: `Recovery from ...`."""
    guide_page = WRITTEN[ROOT / "docs" / "howto" / "report.md"]
    rows = re.findall(r"^\| ([A-Z][^|]+) \|", guide_page, flags=re.MULTILINE)
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "realtime_sim" / "report").glob("*.py"))
    assert len(rows) >= 10
    assert [row for row in rows if f'"{row}' not in code] == []


SHOWN = ["index", "background/queueing", "reference/scenario", *(f"notebooks/{name}" for name in NOTEBOOKS[-1:])]


@pytest.mark.parametrize("page", SHOWN)
def test_a_browser_shows_a_page_in_every_width_and_light_and_asks_nobody(built, page):
    async def body() -> None:
        async with Chromium() as browser:
            shown = await browser.open((built / f"{page}.html").as_uri())
            for scheme in ("light", "dark"):
                await shown.prefer(color_scheme=scheme)
                for width in (1280, 400):
                    name = f"docs-{page.replace('/', '-')}-{width}-{scheme}.png"
                    await shown.screenshot(OUT / name, width, 900)
                    assert await shown.evaluate("document.documentElement.scrollWidth") <= width
            assert await shown.text("h1")
            assert [line for line in shown.console if line.level == "error"] == []
            assert [address for address in shown.requests if urlsplit(address).scheme not in ("file", "data")] == []

    asyncio.run(asyncio.wait_for(body(), 120))
