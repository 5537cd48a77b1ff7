"""On the page of the app every section is about the system at the top, or says that it is not; what goes wrong in one
stays there."""

from __future__ import annotations

import ipywidgets as ipw
import pytest

from realtime_sim import Scenario, ScenarioError
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.widgets.app import SECTIONS, App, app
from realtime_sim.widgets.section import Section
from tests.conftest import small

SMALL = small(traffic=[{"name": "news", "rate": "2/s"}], servers={"count": 2}, slo={"p99": "250ms"})


@pytest.fixture(scope="module")
def page() -> App:
    return app(SMALL)


def texts(box: ipw.Box) -> list[str]:
    """HTML anywhere in a widget, in the order in which it stands."""
    found = []
    for child in box.children:
        found += texts(child) if isinstance(child, ipw.Box) else [child.value] if isinstance(child, ipw.HTML) else []
    return found


def shown(section: Section) -> bool:
    """Whether a notice stands there that the section is about another system."""
    return section.changed.layout.display is None


def test_headings_stand_in_the_order_in_which_one_reads(page):
    whole = "".join(texts(page))
    places = [whole.index(f"<h2>{number} ") for number in range(1, 6)]
    assert places == sorted(places) and whole.count("<h1>") == 1 and whole.count("<h2>") == 5


def test_every_section_has_a_study_of_the_system(page):
    assert page.explorer.study.scenario == SMALL and page.explorer.study.results is not None
    assert set(page.sections) == set(SECTIONS)
    for section in page.sections.values():
        assert section.study is not None and section.study.error == "" and not shown(section)
        assert section.study.scenario.name == "small" and section.children[-1].children == (section.study,)
    assert "small.yaml" in page.taking.yaml.value


def test_sections_follow_when_they_are_told_to():
    page = app(SMALL)
    before = {key: section.study for key, section in page.sections.items()}
    page.explorer.study.controls["servers.count"].label = "5"
    assert page.explorer.study.results.scenario.servers.count == 5
    assert all(shown(section) for section in page.sections.values())
    assert {key: section.study for key, section in page.sections.items()} == before
    page.sections["servers"].follow.click()
    assert not shown(page.sections["servers"]) and shown(page.sections["storm"])
    assert page.sections["servers"].study.scenario.servers.count == 5
    page.explorer.study.controls["servers.count"].label = "2"  # back to where the others are
    assert shown(page.sections["servers"]) and not shown(page.sections["storm"])


def test_another_system_is_shown_everywhere():
    page = app(SMALL)
    page.choosing.yaml.value = SMALL.replace(name="other").to_yaml()
    page.choosing.use.click()
    studies = [page.explorer.study, *(section.study for section in page.sections.values())]
    assert {study.scenario.name for study in studies} == {"other"}
    assert not any(shown(section) for section in page.sections.values())
    assert "other.yaml" in page.taking.yaml.value and "small.yaml" not in page.taking.yaml.value


def test_yaml_is_as_good_as_a_scenario_and_wrong_yaml_is_one_message():
    assert app(SMALL.to_yaml()).choosing.scenario == SMALL
    with pytest.raises(ScenarioError, match="count must be"):
        app("name: x\nduration: 1s\nclients: [{name: a, count: 0}]")


def test_what_cannot_be_simulated_says_so_and_another_system_is_shown_again():
    def prepare(scenario: Scenario) -> None:
        if scenario.n_clients > 10:
            raise UnsupportedFeature("clients", "fast", "scale the <scenario> down")

    from realtime_sim.widgets import capacity

    went_on = []
    section = Section("<h2>x</h2>", prepare, capacity)
    section.show(SMALL.replace(**{"clients.phones.count": 400}), lambda: went_on.append(1))
    assert section.study is None and went_on == [1]
    assert 'role="alert"' in section.said.value and "&lt;scenario&gt;" in section.said.value
    section.show(SMALL)
    assert section.study is not None and section.said.value == ""
