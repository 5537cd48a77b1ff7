"""The demonstration prints limits and hop tables, and leaves JSON and figures for each transport."""

from __future__ import annotations

from realtime_sim import presets
from realtime_sim.demo import run_demo


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
