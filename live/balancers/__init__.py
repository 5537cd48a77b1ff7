"""Balancers: places for servers (`slots`), what is asked (`settings`), its text (`config`), its run (`embedded`)."""
