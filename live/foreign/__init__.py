"""Clients of somebody's own cluster: no server, broker or publisher is started, and no host is asked but the named one.

Read in this order: `target` (where it is), `reception` (what is made of its messages), `connecting` (the ways to
connect), `running` (the run), `collecting` (what was seen, as a Trace). Its schedule is not known, so nothing can be
missed here: what counts is connections, attempts and failures, how soon clients are back after a loss, messages, and
latency where messages say when they were sent.
"""
