"""No finished run of a sweep is lost or repeated, and a file of another question is refused and stays untouched."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

from realtime_sim import __version__, profile_files
from realtime_sim.errors import ScenarioError
from realtime_sim.sweeps import journal, sweep, sweeping
from realtime_sim.sweeps.journal import Journal
from tests.conftest import small

CASE = small(duration=4, traffic=[{"name": "news", "rate": 5}])
OVER = {"servers.count": [1, 2], "clients.phones.network": [{"rtt": 0}, {"rtt": {"mean": "40ms"}}]}
FIGURES = ["p99_s", "deliveries_delivered", "recovery_s"]
OPTIONS = {"replications": 2, "figures": FIGURES}


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, int]]:
    """Places of the runs that were really made."""
    made: list[tuple[int, int]] = []
    run = sweeping._figures
    monkeypatch.setattr(sweeping, "_figures", lambda one, progress: made.append(one.place) or run(one, progress))
    return made


@pytest.fixture(params=[".csv", ".parquet"])
def file(request, tmp_path) -> Path:
    return tmp_path / f"sweep{request.param}"


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines(keepends=True)


def beside(file: Path) -> Path:
    """Where the journal is."""
    return file if file.suffix == ".csv" else file.with_name(f"{file.name}.csv")


def interrupted_after(n: int, file: Path) -> None:
    """A sweep that somebody stops when so many runs are done."""

    def stop(share: float) -> None:
        if share > (n + 0.1) / 8:  # within the next one
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="of 8 runs are in "):
        sweep(CASE, OVER, file=file, progress=stop, **OPTIONS)


# --- what is in it --------------------------------------------------------------------------------------------------


def test_the_file_is_the_frame_with_what_a_row_depends_on(file):
    found = sweep(CASE, OVER, file=file, **OPTIONS)
    read = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    assert list(read) == [*found.frame, "version", "run"]
    assert (read["version"] == __version__).all() and read["run"].is_unique
    read = read.sort_values([*found.paths, "replication"], ascending=[True, False, True]).reset_index(drop=True)
    whole = found.frame.sort_values([*found.paths, "replication"], ascending=[True, False, True])
    pd.testing.assert_frame_equal(read[list(found.frame)], whole.reset_index(drop=True), check_dtype=False)
    assert list(file.parent.iterdir()) == [file]


def test_a_second_call_runs_nothing_and_says_the_same(file, counted):
    first = sweep(CASE, OVER, file=file, **OPTIONS)
    before = file.read_bytes()
    assert len(counted) == 8
    second = sweep(CASE, OVER, file=file, **OPTIONS)
    assert len(counted) == 8 and file.read_bytes() == before
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert list(file.parent.iterdir()) == [file]


def test_more_values_and_more_replications_go_on_from_it(file, counted):
    sweep(CASE, OVER, file=file, figures=FIGURES)
    more = OVER | {"servers.count": [3, 1, 2]}
    found = sweep(CASE, more, file=file, **OPTIONS)
    assert len(counted) == 4 + 8
    pd.testing.assert_frame_equal(found.frame, sweep(CASE, more, **OPTIONS).frame)


# --- interrupted ----------------------------------------------------------------------------------------------------


def test_what_was_done_is_kept_and_the_rest_follows(file, counted):
    whole = sweep(CASE, OVER, **OPTIONS).frame
    counted.clear()
    interrupted_after(3, file)
    assert len(lines_of(beside(file))) == 1 + 3 and len(counted) == 4
    pd.testing.assert_frame_equal(sweep(CASE, OVER, file=file, **OPTIONS).frame, whole)
    assert len(counted) == 4 + 5  # the one that was under way is done again, and no other
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("n_left", range(1, 40, 6))
def test_a_half_written_line_is_dropped(tmp_path, counted, n_left):
    file = tmp_path / "sweep.csv"
    whole = sweep(CASE, OVER, file=file, **OPTIONS).frame
    lines = lines_of(file)
    file.write_text("".join(lines[:5]) + lines[5][:n_left], encoding="utf-8")
    counted.clear()
    pd.testing.assert_frame_equal(sweep(CASE, OVER, file=file, **OPTIONS).frame, whole)
    assert len(counted) == 4 and lines_of(file)[:5] == lines[:5] and len(lines_of(file)) == 9


@pytest.mark.parametrize("n_left", [0, 1, 20])
def test_a_half_written_head_is_written_anew(tmp_path, counted, n_left):
    file = tmp_path / "sweep.csv"
    sweep(CASE, OVER, file=file, **OPTIONS)
    lines = lines_of(file)
    file.write_text(lines[0][:n_left], encoding="utf-8")
    sweep(CASE, OVER, file=file, **OPTIONS)
    assert lines_of(file) == lines and len(counted) == 16


def test_a_table_that_was_written_before_its_journal_went_is_complete(tmp_path, counted):
    """The machine stopped between the two."""
    file = tmp_path / "sweep.parquet"
    interrupted_after(3, file)
    held = beside(file).read_bytes()
    sweep(CASE, OVER, file=file, **OPTIONS)
    beside(file).write_bytes(held)
    counted.clear()
    sweep(CASE, OVER, file=file, **OPTIONS)
    assert counted == [] and list(tmp_path.iterdir()) == [file]


def test_without_a_file_it_is_told_that_all_is_gone():
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="interrupted; 0 of 8 runs were done, and are gone; name a file"):
        sweep(CASE, OVER, progress=stop, **OPTIONS)


# --- another question -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "over", "options", "why"),
    [
        (CASE.replace(drain=7), OVER, OPTIONS, "is a run of another scenario, or one that is not asked for"),
        (CASE.replace(seed=5), OVER, OPTIONS, "is a run of another scenario, or one that is not asked for"),
        (CASE, OVER | {"servers.count": [2]}, OPTIONS, "is not asked for: servers.count=1, clients.phones.network="),
        (CASE, OVER, OPTIONS | {"replications": 1}, "replication=1"),
        (CASE, OVER, OPTIONS | {"figures": ["p99_s"]}, "it has the column deliveries_delivered"),
        (CASE, OVER, OPTIONS | {"figures": [*FIGURES, "p50_s"]}, "it lacks the column p50_s"),
        (CASE, OVER, OPTIONS | {"figures": FIGURES[::-1]}, "its columns are in another order"),
        (CASE, {"servers.count": [1, 2]}, OPTIONS, "it has the column clients.phones.network"),
    ],
)
def test_a_file_of_another_question_is_refused_untouched(file, scenario, over, options, why):
    sweep(CASE, OVER, file=file, **OPTIONS)
    before = file.read_bytes(), file.stat().st_mtime_ns
    with pytest.raises(ScenarioError, match="file must be a new file or one of this sweep ") as caught:
        sweep(scenario, over, file=file, progress=lambda _: pytest.fail("it ran"), **options)
    assert why in str(caught.value) and f"got {str(file)!r}"[:40] in str(caught.value)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_a_file_of_another_version_is_refused(file, monkeypatch):
    sweep(CASE, OVER, file=file, **OPTIONS)
    monkeypatch.setattr(journal, "__version__", "9.9")
    with pytest.raises(ScenarioError, match=rf"is of version {__version__} of this package, not 9\.9"):
        sweep(CASE, OVER, file=file, **OPTIONS)


def test_a_profile_that_is_another_by_now_is_another_question(tmp_path):
    """The scenario names a file, and says the same whatever stands in it."""
    text = "{name: here, figures: {send_s: {value: %s, source: measured}}}"
    profile, file = tmp_path / "here.yaml", tmp_path / "sweep.csv"
    profile.write_text(text % "0.000001", encoding="utf-8")
    case = CASE.replace(**{"servers.profile": str(profile)})
    sweep(case, {"servers.count": [1]}, file=file, figures=FIGURES)
    profile.write_text(text % "0.000002", encoding="utf-8")
    profile_files._in_file.cache_clear()  # as in the process that goes on
    with pytest.raises(ScenarioError, match="another scenario"):
        sweep(case, {"servers.count": [1]}, file=file, figures=FIGURES)


@pytest.mark.parametrize(
    "content", [b"notes", b"a,b\n1,2\n", b"\xff\xfe\n", b"servers.count,version,run\n1\n", b"PAR1", b"\n"]
)
def test_what_is_no_table_of_a_sweep_is_refused_untouched(file, content):
    file.write_bytes(content)
    with pytest.raises(ScenarioError, match="file must be a new file or one of this sweep"):
        sweep(CASE, OVER, file=file, **OPTIONS)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sweep.json", "file must end in .csv or .parquet, got "),
        ("sweep", "file must end in .csv or .parquet, got "),
        ("folder.csv", "file must be a plain file, got "),
        ("file.csv/sweep.csv", "output must be a file that can be written"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_runs(tmp_path, name, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.csv").touch()
    with pytest.raises(ScenarioError) as caught:
        sweep(CASE, OVER, file=tmp_path / name, progress=lambda _: pytest.fail("it ran"), **OPTIONS)
    assert str(caught.value).startswith(message)


def test_parquet_needs_a_package_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    with pytest.raises(ScenarioError, match=r"where pyarrow is not installed, got .*'realtime-sim\[parquet\]', or use"):
        sweep(CASE, OVER, file=tmp_path / "sweep.parquet", progress=lambda _: pytest.fail("it ran"), **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def opens(file: Path) -> str:
    """What another process says that wants the same journal."""
    try:
        Journal(file, ["replication"], ["1"]).close()
    except ScenarioError as error:
        return str(error)
    return ""


def test_two_sweeps_do_not_write_to_one_file(file):
    first = Journal(file, ["replication"], ["1"])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(opens, (file,)).startswith("file must not be in use by another sweep, got ")
        first.close()
        assert pool.apply(opens, (file,)) == ""
