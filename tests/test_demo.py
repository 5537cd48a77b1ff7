"""The demonstration prints limits and hop tables, and leaves JSON and figures for each transport."""

from __future__ import annotations

from realtime_sim import presets
from realtime_sim.demo import run_demo, with_transport


def test_the_demonstration_leaves_what_it_lists(tmp_path, capsys):
    written = run_demo(tmp_path / "out", presets.load("chat").replace(duration="4s", warmup="1s"))
    printed = capsys.readouterr().out
    assert len(written) == 7 and sorted(written) == sorted((tmp_path / "out").iterdir())
    assert all(path.stat().st_size > 5_000 and str(path) in printed for path in written)
    for text in (
        "servers needed",
        "do not agree",
        "websocket",
        "sse",
        "long_polling",
        "client_network",
        "total",
        "make lab",
    ):
        assert text in printed


def test_polls_get_the_cookie_that_they_need():
    """Without one they would lose their session at most servers, and be compared by what they are not."""
    ticker = presets.load("ticker")
    affinity = [with_transport(ticker, name).balancer.affinity for name in ("websocket", "sse", "long_polling")]
    assert affinity == ["none", "none", "cookie"]
