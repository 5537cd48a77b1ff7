"""Reports: a comparison, a plan or a run as one page for a person who reviews it, in HTML, Markdown or JSON.

What a page says is written once, as parts that know no format (`page`); `hypertext` and `markdown` write them down. The
HTML is one file that asks the network for nothing.
"""

from realtime_sim.report.writing import check_format, write_report

__all__ = ["check_format", "write_report"]
