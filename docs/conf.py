"""Sphinx: the documentation of Torsyq."""

import importlib.metadata

project = "Torsyq"
author = "the authors of Torsyq"
project_copyright = f"2026, {author}"
release = importlib.metadata.version("torsyq")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Torsyq"
html_static_path = ["_static"]
html_css_files = ["torsyq.css"]
html_logo = html_favicon = "_static/torsyq.svg"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b80", "color-brand-content": "#0b6b80"},
    "dark_css_variables": {"color-brand-primary": "#5fc6da", "color-brand-content": "#5fc6da"},
}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False

# A name as :class:`.Request` may stand for one thing in several modules: any of them will do.
suppress_warnings = ["ref.python"]
