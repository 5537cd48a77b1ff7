"""Collecting: what everybody wrote down in a live run becomes one Trace, with the columns of a simulated one.

`happenings` follows each client through the run, `stamps` puts together what is known of each delivery, `fates` says
what became of those that never came, `trace` files all of it through the Recorder.
"""

from live.collecting.trace import collect

__all__ = ["collect"]
"""What everybody wrote down, as a Trace."""
