"""Whatever a scenario and its parts are called: nothing is injected, and whoever reads the files takes them."""

from __future__ import annotations

import re
import subprocess

import kubernetes_validate
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime_sim import deployment
from realtime_sim.deployment.reasons import commented
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from tests.deployed import chat
from tests.test_deployment import OF_KUBERNETES, VERSIONS
from tests.test_deployment_alerts import checked, promtool
from tests.test_deployment_snippets import program

LABEL = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1123 with at most 63 signs, and a letter first, as RFC 1035 has it for Services."""

HOSTILE = (
    '"; evil: true #', "it's", "<script>alert(1)</script>", "{{ $labels.pod }}", "a/b/../c", "x" * 100, "-" * 100, "y",
    "null", "*anchor &x !!python/object", "# : |- >", "}; include /etc/passwd; {", "\\", "a\\n b", "[1](javascript:x)",
    "\uffff", "\u202edrow", "Ünïcødé 日本 🙂", "ß" * 60, "0123", "1e5", '{namespace="other"} or vector(1)',
)  # fmt: skip

SIGNS = st.sampled_from("aZ9-_./\\\"'<>&{}[]()#:;,|*!%@`$ \u00df\u0130\u202e\ufeff\uffff\U0001f642")


def accepted(text: str) -> bool:
    """Whether a scenario takes it for a name."""
    try:
        chat(name=text)
    except ScenarioError:
        return False
    return True


names = (st.sampled_from(HOSTILE) | st.text(SIGNS, min_size=1, max_size=100) | st.text(min_size=1)).filter(accepted)


def called(name: str) -> Scenario:
    """A scenario whose parts all have that name, and everything that is said of cohorts."""
    return Scenario(
        name=name,
        duration="1min",
        clients=[{"name": name, "count": 100, "tls": True, "network": {"idle_timeout": "2min"}}],
        servers={"count": 2},
        rooms=[{"name": f"r{name}"[:100].strip(), "count": 10, "members": 10}],
        slo={"p99": "250ms", "survive_servers": 1},
    )


def orders(text: str) -> list[str]:
    """Lines of a snippet that are no comments."""
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


@given(names)
@settings(max_examples=60)
@example("\uffff")
@example("y")
@example("x" * 100)
def test_a_name_is_only_a_label_and_a_comment(name):
    """Objects and orders are those of a scenario with a plain name whose objects are called by the label."""
    made = deployment.manifests(called(name))
    label = made["deployment.yaml"]["metadata"]["name"]
    assert dict(made) == dict(deployment.manifests(called("plain"), name=label))
    for file in made:
        meta = made[file]["metadata"]
        assert re.fullmatch(LABEL, meta["name"]) and meta["labels"] == {"app.kubernetes.io/name": label}
    for write in (deployment.haproxy_snippet, deployment.nginx_snippet):
        assert orders(write(called(name))) == orders(write(called("plain"), name=label))


@given(names)
@settings(max_examples=30)
@example("\uffff")
@example("y")
def test_files_are_read_back_whatever_the_name(tmp_path_factory, name):
    made = deployment.manifests(called(name))
    folder = tmp_path_factory.mktemp("names")
    for path in made.write(folder)[:-1]:
        assert yaml.safe_load(path.read_text(encoding="utf-8")) == made[path.name]
    notes = (folder / "notes.md").read_text(encoding="utf-8")
    assert "<" not in notes and "](" not in notes and notes.count("\n- ") == len(made.notes)
    for text in (notes, made.yaml("deployment.yaml")):
        assert all(sign.isprintable() or sign == "\n" for sign in text)


@given(names)
@settings(max_examples=8, deadline=None)
def test_kubernetes_takes_any_name(name):
    made = deployment.manifests(called(name))
    for file in OF_KUBERNETES:
        kubernetes_validate.validate(made[file], VERSIONS[-1], strict=True)


@promtool
@given(names)
@settings(max_examples=5, deadline=None)
@example("{{ $labels.pod }}")
def test_prometheus_takes_any_name(tmp_path_factory, name):
    file = tmp_path_factory.mktemp("names") / "rules.yaml"
    file.write_text(commented(deployment.manifests(called(name)).objects["alerts.yaml"]["spec"]), encoding="utf-8")
    assert "SUCCESS" in checked("check", "rules", str(file))


@pytest.mark.skipif(program("haproxy") is None, reason="HAProxy is not installed (apt: haproxy)")
@given(names)
@settings(max_examples=5, deadline=None)
def test_haproxy_takes_any_name(tmp_path_factory, name):
    file = tmp_path_factory.mktemp("names") / "haproxy.cfg"
    text = deployment.haproxy_snippet(called(name), addresses=["127.0.0.1:7001"])
    file.write_text(text, encoding="utf-8")
    done = subprocess.run([program("haproxy"), "-c", "-f", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("y", "'y'"),
        ("N", "'N'"),
        ("no", "'no'"),
        ("1e5", "'1e5'"),
        ("0o17", "'0o17'"),
        ("yes-1", "yes-1"),
        ("1e5x", "1e5x"),
    ],
)
def test_text_that_another_reader_takes_for_something_else_is_quoted(value, quoted):
    """YAML 1.1 has y and n for true and false, YAML 1.2 has 1e5 and 0o17 for numbers; we read none of them so."""
    assert commented({"name": value}) == f"name: {quoted}\n"


@pytest.mark.parametrize("image", ['a"b', "a\\nb", "a\nb", "{{x}}", "-a", "日本", "a\x00", "a'"])
def test_an_image_is_made_of_the_signs_of_a_reference(image):
    with pytest.raises(ScenarioError, match="image must be the name of an image"):
        deployment.manifests(chat(), image=image)
    good = "registry.test:5000/push/server:1.4-rc.1@sha256:" + "0" * 64
    assert good in deployment.manifests(chat(), image=good).yaml("deployment.yaml")
