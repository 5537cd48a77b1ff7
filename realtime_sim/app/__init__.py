"""The app: the explorer as a web page for who knows no notebooks, served on loopback by Voilà (extra `notebook`)."""

from realtime_sim.app.serving import serve

__all__ = ["serve"]
