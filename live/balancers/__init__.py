"""Balancers: what a scenario asks of one (`settings`), its text for nginx and HAProxy (`config`), and running them."""
