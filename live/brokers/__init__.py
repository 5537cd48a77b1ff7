"""Brokers: links of servers and publishers to a broker (`base`), and brokers started for a run (`embedded`)."""
