"""How the documentation is built: from README, docstrings, registries and notebooks, without a network."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import realtime_sim  # noqa: E402

project = "realtime_sim"
release = version = realtime_sim.__version__
html_title = f"realtime_sim {release}"

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "generated", "mathml"]
nitpicky = True
default_role = "py:obj"
smartquotes = False

# What docstrings say stands; the signature has names and defaults.
autodoc_typehints = "none"
autodoc_default_options = {"exclude-members": "model_config"}
numpydoc_show_class_members = False
nitpick_ignore_regex = [
    ("py:obj", "(?s).*"),  # a word in single backticks links where it is a name, and is code elsewhere
    ("py:.*", r"(?!realtime_sim|live).*"),  # other packages are not on these pages
    ("myst", r"\d\d_\w+\.ipynb"),  # the next notebook may not be there yet
]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Notebooks come with their outputs. Widgets need a running kernel, and a page gets nothing from elsewhere.
nb_execution_mode = "off"
suppress_warnings = ["myst.header"]  # a notebook may go from its title to an exercise
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
html_math_renderer = "mathml"

html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
