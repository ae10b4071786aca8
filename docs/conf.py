"""Sphinx: pages in Markdown, the public surface from its docstrings, every reference checked."""

from __future__ import annotations

from sphinx.application import Sphinx

project = "Tapekeeper"
author = "The Tapekeeper authors"
copyright = "The Tapekeeper authors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "Tapekeeper"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# "Attributes:" sections describe fields; as objects of their own they would be described twice.
napoleon_use_ivar = True

nitpicky = True
# The build reads nothing from the network, so names of other libraries have no page to point to.
# Names of ours are all checked.
nitpick_ignore_regex = [(r"py:.*", r"(?!tapekeeper\b).*")]


def keep_drawings(_app: Sphinx, what: str, *rest: object) -> None:
    """Show the indented drawings of module docstrings as they were drawn."""
    lines = rest[-1]
    if what != "module" or not isinstance(lines, list):
        return
    for at in range(len(lines) - 1, 0, -1):
        if lines[at].startswith("    ") and not lines[at - 1].strip():
            lines[at:at] = ["::", ""]
            break


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", keep_drawings)
