"""What the reference says, read from the package itself: nothing of it is written down twice.

A line `<!-- generated: fields -->` of a page becomes Markdown, by the function of that name; and every module that
exports a public name gets a page of its own. Notebooks are shown as they were run.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import typer
import yaml
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import live
import realtime_sim
from realtime_sim import guide, presets, theory
from realtime_sim.cli.app import app as program
from realtime_sim.metrics import METRICS
from realtime_sim.policies import lifecycle

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; its header is written with bars between the columns."""
    lines = [header, re.sub(r"[^|]+", "---", header)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def fields() -> str:
    """Every field of a scenario, part by part."""
    header = "field | value | default | what it is"
    sections = [
        f"## `{path}`\n\n{about}\n\n{table(header, ((f'`{name}`', *others) for name, *others in rows))}"
        for path, about, rows in guide.parts()
    ]
    return "\n\n".join(sections)


def policies() -> str:
    """Every policy that a scenario names, by family."""
    sections = [
        f"## {family}\n\nWritten in `{place}`.\n\n{table('name | what it does', ((f'`{a}`', b) for a, b in rows))}"
        for family, place, rows in guide.families()
    ]
    return "\n\n".join(sections)


def profiles() -> str:
    """Every figure of every profile, with its source."""
    sections = [
        f"## {name}\n\n{sentence(about)}\n\n{table('figure | value | source', rows)}"
        for name, about, rows in guide.cost_tables()
    ]
    return "\n\n".join(sections)


def metrics() -> str:
    """What is monitored."""
    rows = ((f"`{one.name}`", one.kind, one.unit, ", ".join(one.labels), one.help) for one in METRICS.values())
    return table("name | kind | unit | labels | what it tells", rows)


def life() -> str:
    """States of a connection, and what leads from one to another."""
    return table("state | event | next state | what happens", lifecycle.table())


def waits() -> str:
    """Waiting times at several utilizations, in units of one service."""
    rows = []
    for utilization in (0.5, 0.7, 0.8, 0.9, 0.95):
        one = {"arrival_rate_per_s": utilization, "service_s": 1.0}
        found = (
            theory.md1(**one).mean_wait_s,
            theory.mm1(**one).mean_wait_s,
            theory.mm1_wait_quantile_s(**one, p=0.99),
            theory.mmc(arrival_rate_per_s=10 * utilization, service_s=1.0, servers=10).mean_wait_s,
        )
        rows.append((f"{utilization:.0%}", *(f"{wait_s:.2f}" for wait_s in found)))
    return table("busy | M/D/1, constant service | M/M/1, exponential | p99 of M/M/1 | M/M/10, ten loops", rows)


def commands() -> str:
    """Every command of the command line, from its own help."""
    group = typer.main.get_command(program)
    return "\n\n".join(one_command(name, command) for name, command in group.commands.items())


def one_command(name: str, command: typer.core.TyperCommand) -> str:
    """A command: what it does, how it is called, and its options."""
    about, _, example = command.help.partition("Example: ")
    context = typer.Context(command, info_name=f"realtime-sim {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    return "\n\n".join(
        [
            f"## {name}",
            about.strip(),
            "```text\n" + " ".join(usage.split()) + "\n```",
            *(["For example:\n\n```sh\n" + " ".join(example.split()) + "\n```"] if example else []),
            table("option | what it does", ((f"`{names}`", " ".join(text.split())) for names, text in records)),
        ]
    )


def scenarios() -> str:
    """Presets and examples, from their files."""
    sections = [listing(f"`{name}`", presets.about(name), "yaml", presets.text(name)) for name in presets.NAMES]
    for file in sorted((ROOT / "examples").iterdir()):
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if file.suffix == ".yaml":
            sections.append(listing(f"`examples/{file.name}`", yaml.safe_load(text)["description"], "yaml", text))
        elif file.suffix == ".py":
            sections.append(listing(f"`examples/{file.name}`", ast.get_docstring(ast.parse(text)), "python", text))
    return "\n\n".join(sections)


def listing(title: str, about: str, language: str, text: str) -> str:
    """A file with its title, and the first paragraph of what is said about it."""
    return f"## {title}\n\n{sentence(about.partition(chr(10) * 2)[0])}\n\n```{language}\n{text.rstrip()}\n```"


def sentence(text: str) -> str:
    """A text as a sentence of its own."""
    return text.rstrip(".") + "."


def names() -> str:
    """Every public name, with the first line of its docstring."""
    found = [(f"realtime_sim.{name}", getattr(realtime_sim, name)) for name in realtime_sim._EXPORTS]
    found += [(f"live.{name}", getattr(live, name)) for name in live.__all__]
    rows = ((f"{{py:obj}}`{name}`", inspect.getdoc(value).splitlines()[0]) for name, value in found)
    return table("name | what it is", rows)


def notebooks() -> str:
    """Contents of the tutorial: whichever notebooks there are."""
    listed = "\n".join(f"notebooks/{file.stem}" for file in NOTEBOOKS)
    return f"```{{toctree}}\n{listed}\n```" if listed else "There are no notebooks yet."


GENERATED = (fields, policies, profiles, metrics, life, waits, commands, scenarios, names, notebooks)


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Write what is generated into the text of a page."""
    if "<!-- generated: " in source[0]:
        app.env.note_reread()  # what it is made from may change while the page does not
    known = {function.__name__: function for function in GENERATED}
    source[0] = re.sub(r"^<!-- generated: (\w+) -->$", lambda found: known[found[1]](), source[0], flags=re.MULTILINE)


def modules() -> Iterator[str]:
    """Modules with a page: those of public names, modules within, and what an experiment is written with."""
    for name in (*(f"realtime_sim.{home}" for home in realtime_sim._EXPORTS.values()), "realtime_sim.control", "live"):
        yield name
        known = import_module(name)
        yield from (f"{name}.{inner}" for inner in known.__all__ if inspect.ismodule(getattr(known, inner)))


def module_page(module: str) -> str:
    """A module's page: what it is, its public names, and what else is found in it."""
    known = import_module(module).__all__
    public = [name for name, home in realtime_sim._EXPORTS.items() if f"realtime_sim.{home}" == module]
    package, _, own = module.rpartition(".")
    line = f"from {package} import {', '.join(public) or own}" if package else f"import {module}"
    first = [name for name in public if name in known]
    title = f"# {module.removeprefix('realtime_sim.')}\n\n```python\n{line}\n```"
    members = [member(module, name) for name in dict.fromkeys((*first, *known))]
    return "\n\n".join([title, rst(f".. automodule:: {module}"), *members])


def member(module: str, name: str) -> str:
    """What docstrings say of one name of a module."""
    value = getattr(import_module(module), name)
    if inspect.ismodule(value):
        return ""  # it has a page
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, Exception) else "class"
        return rst(f".. auto{kind}:: {module}.{name}", "members")
    if inspect.isroutine(inspect.unwrap(value)):
        return rst(f".. autofunction:: {module}.{name}")
    return rst(f".. autodata:: {module}.{name}", "no-value")


def rst(directive: str, *options: str) -> str:
    """A directive of autodoc on a page of Markdown."""
    return "\n".join(["```{eval-rst}", directive, *(f"   :{option}:" for option in options), "```"])


def write_pages(app: Sphinx) -> None:
    """Write a page for every module with a public name, and bring the notebooks in."""
    write_all(Path(app.srcdir) / "reference" / "python", {f"{name}.md": module_page(name) for name in modules()})
    write_all(Path(app.srcdir) / "notebooks", {file.name: file.read_text(encoding="utf-8") for file in NOTEBOOKS})


def write_all(folder: Path, pages: dict[str, str]) -> None:
    """Fill a folder with these pages and no others; one that is there and right is left as it is."""
    folder.mkdir(exist_ok=True)
    for file in {*folder.iterdir()} - {folder / name for name in pages}:
        file.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def without_sections(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Make sections of a module's docstring paragraphs with a title: a page has only its own."""
    for i in range(len(lines) - 1, 0, -1):
        if what == "module" and re.fullmatch("-{3,}", lines[i]):
            lines[i - 1 : i + 1] = [f".. rubric:: {lines[i - 1]}", ""]


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> nodes.Element | None:
    """A link to a public name under the name that it is imported by: `Results`, `realtime_sim.plan`, `plots.storm`."""
    head, dot, rest = node["reftarget"].removeprefix("realtime_sim.").partition(".")
    if node.get("refdomain") != "py" or head not in realtime_sim._EXPORTS:
        return None
    home = realtime_sim._EXPORTS[head]
    name = f"realtime_sim.{home}" + (f".{head}" if head != home else "") + dot + rest
    found = env.domains.python_domain.objects.get(name)
    return found and make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, text, name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all of it to Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", without_sections)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
