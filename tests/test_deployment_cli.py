"""The command `manifests` writes every file that a deployment needs, and says what they leave to others."""

from __future__ import annotations

import yaml

from realtime_sim import deployment, presets
from tests.test_cli import command

FILES = [
    "alerts.yaml", "autoscaler.yaml", "deployment.yaml", "disruption-budget.yaml", "haproxy.cfg", "nginx.conf",
    "notes.md", "service-pods.yaml", "service.yaml",
]  # fmt: skip


def test_files_are_those_of_python(tmp_path):
    done = command("manifests", "chat", "--servers", "6", "--namespace", "push", "--out", str(tmp_path / "k8s"))
    assert done.returncode == 0 and done.stderr == ""
    assert sorted(path.name for path in (tmp_path / "k8s").iterdir()) == FILES
    six = presets.load("chat").replace(**{"servers.count": 6})
    made = deployment.manifests(six, namespace="push")
    assert {name: yaml.safe_load((tmp_path / "k8s" / name).read_text()) for name in made} == dict(made)
    assert (tmp_path / "k8s" / "haproxy.cfg").read_text() == deployment.haproxy_snippet(six, namespace="push")
    assert (tmp_path / "k8s" / "nginx.conf").read_text() == deployment.nginx_snippet(six, namespace="push")
    assert done.stdout.startswith("chat: 2,000 clients on 6 pods\n")
    assert all(note in done.stdout for note in made.notes)


def test_what_is_wrong_is_one_message_and_nothing_is_written(tmp_path):
    done = command("manifests", "chat", "--servers", "0", "--out", str(tmp_path / "k8s"))
    assert done.returncode == 2 and "--servers must be at least 1, got 0" in done.stderr
    done = command("manifests", "chat", "--namespace", "No Name", "--out", str(tmp_path / "k8s"))
    assert done.returncode == 2 and "--namespace must be a DNS label" in done.stderr
    assert not (tmp_path / "k8s").exists()
    assert "--out" in command("manifests", "chat").stderr


def test_too_few_servers_of_the_scenario_are_one_line_beside_the_files(tmp_path):
    """2,000 clients on four servers of 500, and one may be lost. It is no failure."""
    changes = ["--set", "servers.max_connections=500", "--set", "slo={survive_servers: 1}"]
    done = command("manifests", "chat", *changes, "--out", str(tmp_path / "k8s"))
    line = (
        "4 servers, 1 of them lost, do not meet every limit: connections at 133.3% of 100%; use --servers 5, or ask "
        "`plan`"
    )
    assert done.returncode == 0 and done.stderr == f"realtime-sim: {line}\n"
    assert f"- servers.count: {line}.\n" in (tmp_path / "k8s" / "notes.md").read_text()
    done = command("manifests", "chat", *changes, "--servers", "5", "--out", str(tmp_path / "k8s"))
    assert done.returncode == 0 and done.stderr == ""
    assert "do not meet" not in (tmp_path / "k8s" / "notes.md").read_text()
