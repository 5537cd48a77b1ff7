"""Measurements that are no tests: how fast (`make bench`), and how often intervals hold the truth (`make coverage`)."""
