"""The command line says what it found in tables and JSON, and what is wrong in one message with exit code 2."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_sim import guide, presets
from realtime_sim.choose import choose_transport
from realtime_sim.simulation import simulate

QUICK = ["--set", "duration=3s", "--set", "warmup=1s"]


def command(*words: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "realtime_sim", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
    )


def test_simulate_prints_latency_hops_and_counts():
    done = command("simulate", "chat", *QUICK)
    assert done.returncode == 0 and done.stderr == ""
    for text in ("Delivery latency, ms", "95 % interval", "client_network", "total", "expected", "Objectives"):
        assert text in done.stdout


@pytest.mark.parametrize(("promise", "code"), [("1ms", 1), ("10s", 0)])
def test_a_missed_objective_fails_where_asked_to(promise, code):
    words = ["simulate", "chat", *QUICK, "--set", f"slo={{p99: {promise}}}"]
    done = command(*words, "--fail-on-slo")
    assert (done.returncode, done.stderr) == (code, "")
    assert ("missed" if code else "kept") in done.stdout
    assert command(*words).returncode == 0


def test_json_is_that_of_the_results():
    done = command("simulate", "chat", *QUICK, "--json", "-")
    expected = simulate(presets.load("chat").replace(duration="3s", warmup="1s")).to_json()
    assert json.loads(done.stdout) == json.loads(expected)


def test_a_file_of_json_and_a_figure_are_written(tmp_path):
    done = command("simulate", "chat", *QUICK, "--json", str(tmp_path / "a" / "run.json"), "--plots", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a" / "run.json").read_text())["engine"] == "reference"
    assert (tmp_path / "chat.png").read_bytes().startswith(b"\x89PNG")


def test_a_scenario_comes_from_standard_input():
    done = command("simulate", "-", stdin=presets.load("chat").replace(duration=2, warmup=0).to_yaml())
    assert done.returncode == 0 and done.stdout.startswith("chat: 1 run of 2 s")


def test_set_takes_yaml_values():
    done = command("simulate", "chat", *QUICK, "--set", "broker={kind: kafka, linger: 1ms}", "--json", "-")
    assert json.loads(done.stdout)["scenario"]["broker"] == {"kind": "kafka", "linger": "1ms"}


def test_choose_takes_what_python_takes():
    done = command("choose", "--proxies-block-upgrade", "--profile", "centrifugo", "--json", "-")
    found = json.loads(done.stdout)
    assert found == choose_transport(proxies_block_upgrade=True, profile="centrifugo").to_plain()
    assert {one["name"]: one["suitable"] for one in found["ranked"]}["websocket"] is False
    table = command("choose", "--payload", "1MB", "--messages-per-s", "1000").stdout
    assert "  25.0  1,037,371,000  " in table and "decided by\n" in table


def test_limits_prints_and_writes_what_is_asked_and_what_is_given():
    changes = ["--set", "slo.survive_servers=1", "--set", "servers.count=2"]
    table = command("limits", "chat", *changes).stdout
    assert table.startswith("chat: 2 servers needed (1 and 1 that may be lost), 2 given.")
    assert "Your 2 servers, 1 of them lost, meet every limit." in table
    assert json.loads(command("limits", "chat", *changes, "--json", "-").stdout)["exceeded"] == []


def test_variants_stand_side_by_side_and_their_json_is_a_list(tmp_path):
    words = ["simulate", "chat", *QUICK, "--compare", "servers.count=2,4"]
    done = command(*words, "--json", str(tmp_path / "runs.json"), "--plots", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "servers.count   mean, ms [95 % interval]" in done.stdout and "client_network" in done.stdout
    runs = json.loads((tmp_path / "runs.json").read_text())
    assert [run["scenario"]["servers"]["count"] for run in runs] == [2, 4]
    alone = simulate(presets.load("chat").replace(duration="3s", warmup="1s", **{"servers.count": 2})).to_json()
    assert runs[0] == json.loads(alone)
    assert (tmp_path / "chat-latency.png").read_bytes().startswith(b"\x89PNG")


def test_a_variant_may_be_a_mapping():
    done = command("simulate", "chat", *QUICK, "--compare", "broker={kind: kafka, linger: 1ms}, {kind: redis_pubsub}")
    assert done.returncode == 0, done.stderr
    assert '{"kind": "kafka", "linger": "1ms"}' in done.stdout


def test_presets_are_listed_and_printed():
    listed = command("presets").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(presets.NAMES)
    assert command("presets", "chat").stdout == presets.text("chat")


def test_schema_is_json():
    assert {"clients", "servers", "broker"} <= set(json.loads(command("schema").stdout)["properties"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["fields"], guide.fields_text()),
        (["fields", "servers"], guide.fields_text("servers")),
        (["profiles"], guide.profiles_text()),
        (["policies", "backoff"], guide.policies_text("backoff")),
    ],
)
def test_the_guide_is_printed(words, text):
    done = command(*words)
    assert (done.returncode, done.stdout) == (0, text + "\n")


def test_a_file_of_the_schema_is_the_same_and_written_whole(tmp_path):
    path = tmp_path / "a" / "scenario.schema.json"
    done = command("schema", "--out", str(path))
    assert (done.returncode, done.stdout) == (0, f"Schema: {path}\n")
    assert json.loads(path.read_text()) == json.loads(command("schema").stdout)
    assert list(path.parent.iterdir()) == [path]


def test_help_and_version_are_quick_and_end_well():
    for words in ([], ["--help"], ["simulate", "--help"], ["--version"]):
        done = command(*words)
        assert done.returncode == 0 and done.stdout.strip()


@pytest.mark.parametrize(
    "words, message",
    [
        (["simulate", "nope"], "scenario must be a preset or a file, got 'nope'; known names: chat, "),
        (["simulate", "chatt"], "scenario must be a preset or a file, got 'chatt'; did you mean 'chat'?"),
        (["simulate", "none.yaml"], "scenario must be a readable YAML file"),
        (["simulate", "."], "scenario must be a readable YAML file"),
        (["simulate"], ". See realtime-sim simulate --help."),
        (["simulate", "chat", "--set", "x"], "--set must be PATH=VALUE, got 'x'"),
        (["simulate", "chat", "--set", "=3"], "--set must be PATH=VALUE"),
        (
            ["simulate", "chat", "--set", "servers.cout=3"],
            "servers.cout is not a known field, got 3; did you mean 'count'?",
        ),
        (["simulate", "chat", "--set", "servers.count=0"], "servers.count must be at least 1, got 0"),
        (["simulate", "chat", "--set", "broker={kind"], "must have a YAML value"),
        (
            ["simulate", "chat", "--set", "clients.phones.network.rtt=4 parsec"],
            "clients[0].network.rtt must be a duration",
        ),
        (["simulate", "chat", "--compare", "servers.count"], "--compare must be PATH=VALUE, got 'servers.count'"),
        (["simulate", "chat", "--compare", "servers.count=2"], "servers.count must have two values or more to compare"),
        (["simulate", "chat", "--compare", "servers.count=2,x"], "servers.count must be a whole number, got 'x'"),
        (["simulate", "chat", "--compare", "broker={kind"], "--compare broker must have a YAML value"),
        (["simulate", "chat", "--engine", "fastt"], "--engine must be a known engine"),
        (["simulate", "chat", "--replications", "0"], "--replications must be a whole number from 1"),
        (["simulate", "chat", "--replications", "x"], "--replications"),
        (["simulate", "chat", "--n-jobs", "0"], "--n-jobs must be a whole number of processes from 1, or -1"),
        (["simulate", "chat", "--record", "all"], "--record must be a level of recording"),
        (["simulate", "chat", *QUICK, "--json", "/dev/null/x.json"], "--json must be a file that can be written"),
        (["simulate", "chat", "--set", "a=" + "[" * 3_000], "--set a must have a YAML value"),
        (["simulate", "chat", "--set", "duration=!!timestamp abc"], "--set duration must have a YAML value"),
        (["simulate", "chat", "--set", 'duration=!!float ""'], "--set duration must have a YAML value"),
        (["simulate", "chat", "--set", "seed=!!bool abc"], "--set seed must have a YAML value"),
        (["simulate", "chat", "--set", "slo={p50: 1, p50: 2}"], "--set slo must have a YAML value"),
        (["simulate", "chat", "--set", "clients.²=1"], "clients.² must name a part that exists"),
        (["simulate", "chat", "--set", f"clients.{'9' * 5_000}=1"], "must name a part that exists"),
        (["simulate", "chat", "--set", f"clients[{'9' * 5_000}]=1"], "must be a dotted path"),
        (["simulate", "x" * 5_000], "scenario must be a preset or a file"),
        (["simulate", "-"], "scenario must be a mapping of fields"),
        (["limits", "nope"], "scenario must be a preset or a file"),
        (["choose", "--direction", "up"], "--direction must be one of"),
        (["choose", "--payload", "-3B"], "--payload must be"),
        (["choose", "--profile", "nope"], "--profile must be one of"),
        (["presets", "nope"], "preset must be a preset"),
        (["fields", "servers.cout"], "path must be a part or a field of a scenario, got 'servers.cout'; did you mean"),
        (["policies", "backof"], "family must be a family of policies, got 'backof'; did you mean 'backoff'?"),
        (["profiles", "nope"], "must be a known profile"),
        (["schema", "--out", "/dev/null/x.json"], "--out must be a file that can be written"),
        (["schema", "chat"], "(chat). See realtime-sim schema --help."),
        (["frobnicate"], "No such command 'frobnicate'. See realtime-sim --help."),
        (["--frob"], "No such option: --frob. See realtime-sim --help."),
        (["simulate", "chat", "--frob"], "No such option: --frob. See realtime-sim simulate --help."),
        (["plan", "chat", "--slo"], "Option '--slo' requires an argument. See realtime-sim plan --help."),
        (["plan", "chat", "--replications", "x"], ". See realtime-sim plan --help."),
        (["sweep", "chat"], "Missing option '--over'. See realtime-sim sweep --help."),
        (["manifests", "chat"], "Missing option '--out'. See realtime-sim manifests --help."),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(words, message):
    done = command(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "file"), [("../../x", "x"), ("界" * 100, "界" * 33), ("a/b", "a-b"), ("..", "scenario")]
)
def test_a_figure_stays_in_its_folder_whatever_the_scenario_is_called(tmp_path, name, file):
    folder = tmp_path / "a" / "b"
    done = command("simulate", "chat", *QUICK, "--set", f"name={json.dumps(name)}", "--plots", str(folder))
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / f"{file}.png"]


def test_a_storm_has_a_figure_of_its_own(tmp_path):
    """That of the fault that cuts off most."""
    faults = "[{at: 1s, kind: drop_clients, cohort: phones, share: 0.1}, {at: 2s, kind: kill_server, server: 0}]"
    done = command("simulate", "chat", *QUICK, "--set", f"faults={faults}", "--plots", str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = ["chat-storm.png", "chat.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all(f"Figure: {tmp_path / name}" in done.stdout for name in names)


def test_a_figure_that_cannot_be_written_is_known_before_the_run(tmp_path):
    (tmp_path / "chat.png").mkdir()
    done = command("simulate", "chat", "--set", "duration=10h", "--plots", str(tmp_path))
    assert done.returncode == 2 and "--plots must be a file that can be written (Is a directory)" in done.stderr


def test_output_that_has_no_room_is_one_message(tmp_path):
    """The file that takes the output may hold 100 bytes."""
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "realtime_sim", "fields"], stdout=out, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "realtime-sim: the output could not be written (File too large); make room, or write elsewhere\n"
    )


def test_letters_that_the_terminal_lacks_are_spelled_out():
    words = [sys.executable, "-m", "realtime_sim", "simulate", "chat", *QUICK, "--set", "name=é"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stdout.startswith(b"\\xe9: 1 run")
    done = subprocess.run([*words, "--json", "-"], env=environment, capture_output=True, timeout=120)
    assert json.loads(done.stdout)["scenario"]["name"] == "é"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"#" * 10_000_001, "must be at most 10_000_000 bytes"), (b"name: \xff", "not UTF-8 text")],
)
@pytest.mark.parametrize("through", ["pipe", "standard input"])
def test_of_a_pipe_no_more_is_read_than_a_scenario_may_hold(tmp_path, content, message, through):
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    source = str(fifo) if through == "pipe" else "-"
    words = [sys.executable, "-m", "realtime_sim", "simulate", source]
    started = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    if through == "pipe":
        with contextlib.suppress(BrokenPipeError), fifo.open("wb", buffering=0) as pipe:  # it may have read enough
            pipe.write(content)
        content = b""
    _, err = started.communicate(content, timeout=60)
    assert started.returncode == 2 and message in err.decode()


def shown(terminal: int, until: bytes | None = None) -> bytes:
    """What a terminal shows up to `until`, or to the end of the program; for two minutes at most between two words."""
    seen = b""
    with contextlib.suppress(OSError):  # a terminal that nobody holds open any more has no end of file
        while until is None or until not in seen:
            assert select.select([terminal], [], [], 120)[0], f"nothing more within two minutes after {seen!r}"
            if not (chunk := os.read(terminal, 4096)):
                break
            seen += chunk
    return seen


@pytest.mark.parametrize("runs", [["--replications", "1"], ["--replications", "4", "--n-jobs", "2"]])
def test_ctrl_c_leaves_a_clear_message_no_file_and_no_process(tmp_path, runs):
    """Interrupted as soon as the bar shows that the run is under way: an hour of chat takes over a minute.

    A terminal sends Ctrl-C to all processes of the command, and has an end only when none of them holds it any more.
    """
    words = ["simulate", "chat", "--set", "duration=1h", "--engine", "reference", *runs]
    terminal, stderr = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "realtime_sim", *words, "--json", str(tmp_path / "run.json")],
        stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "160"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as started:  # fmt: skip
        os.close(stderr)
        try:
            seen = shown(terminal, until=b"simulated")
            os.killpg(started.pid, signal.SIGINT)
            seen += shown(terminal)
            out = started.stdout.read()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            os.close(terminal)
    assert (started.returncode, out) == (130, "")
    message = seen.decode().replace("\r", "").rpartition("\x1b[2K")[2]  # what follows the bar that was wiped away
    assert message == "realtime-sim: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []
