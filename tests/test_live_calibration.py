"""Calibrating measures this machine for real, and what it writes is what it reads, applies and a scenario may name."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from live import calibration, validation
from live.calibration import measure, read_calibration
from live.validation import validate
from realtime_sim import Scenario, simulate
from realtime_sim.errors import ScenarioError

pytestmark = pytest.mark.live

HERE = Scenario(name="here", duration=2, clients=[{"name": "c", "count": 20}], traffic=[{"name": "t", "rate": 10}])


@pytest.fixture(scope="module")
def measured():
    """One repeat of runs that are shorter, and of fewer clients, than those that figures are taken from."""
    with pytest.MonkeyPatch.context() as patch:
        cases = calibration._cases
        patch.setattr(
            calibration, "_cases", lambda *asked: {name: _short(case) for name, case in cases(*asked).items()}
        )
        yield measure(repeats=1, progress=lambda _: None)


def _short(case: Scenario) -> Scenario:
    clients, ramp_up = case.clients[0], None if case.clients[0].ramp_up is None else 1
    changes = {"clients.c.count": clients.count // 2, "clients.c.ramp_up": ramp_up}
    return case.replace(**changes, duration=1.2, drain=0.5)


def test_every_cost_is_found(measured):
    for name, figure in measured.figures.items():
        assert 0 <= figure.value < (1e6 if name.endswith("_bytes") else 0.1), name
    for name in ("send_s", "handshake_s", "connect_s", "receive_s"):
        assert measured.figures[name].value > 0, name
    assert "Measured 1 repeat with" in str(measured)


def test_what_is_written_is_what_is_read(measured, tmp_path):
    file = tmp_path / "here.yaml"
    measured.write(file)
    again = read_calibration(file)
    assert {name: figure.value for name, figure in again.figures.items()} == {
        name: figure.value for name, figure in measured.figures.items()
    }
    assert (again.lateness_s, again.way_s) == (measured.lateness_s, measured.way_s)
    assert again.apply(HERE) == measured.apply(HERE)


def test_a_scenario_names_the_file_as_the_profile_of_its_servers(measured, tmp_path):
    file = tmp_path / "here.yaml"
    measured.write(file)
    named = HERE.replace(**{"servers.profile": str(file)})
    assert named.servers.resolved_costs.send_s == measured.figures["send_s"].value
    assert simulate(measured.apply(HERE)).deliveries.loc["total", "lost"] == 0


@pytest.mark.parametrize(("module", "work"), [(calibration, measure), (validation, lambda: validate(HERE))])
def test_progress_counts_real_seconds_and_shows_though_nothing_is_reported(monkeypatch, module, work):
    """A live run takes as long as it says, whatever is simulated a second; here it is stopped before the first."""
    told = []

    @contextmanager
    def bar(title, seconds, **options):
        told.append(options)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(module, "progress_bar", bar)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert told == [{"silent": True, "wall_clock": True}]


def test_a_file_that_is_none_is_refused(tmp_path):
    file = tmp_path / "none.yaml"
    file.write_text("figures: 3\n")
    with pytest.raises(ScenarioError, match="profile must be a file that calibrate has written"):
        read_calibration(file)
