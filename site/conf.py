"""The course as a website: `sphinx-build -W --keep-going -c site . .cache/site`.

Sphinx and MyST-NB read the notebooks with the outputs that they have; nothing is executed, and a page that is opened asks
no other host for anything. A broken link fails the build (`-W`), and so does, with `require_alt_text`, a figure without an
alternative text. What is done to the pages besides is in `pages.py`.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

project = "Who was in the training set?"
author = "the authors of the course"
language = "en"  # with "en_GB" the page of search results stops at a missing translation

extensions = ["myst_nb", "sphinx.ext.mathjax", "pages"]
root_doc = "README"
include_patterns = ["*.md", "notebooks/*.ipynb", "site/*.md", "tests/shaken.md", "mia_helpers/assets/ASSETS.md"]
exclude_patterns = [".*", "**/.ipynb_checkpoints"]
nitpicky = True
suppress_warnings = ["myst.header"]  # an exercise has a level of its own, wherever it stands
require_alt_text = True  # of every image

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # the pages have no widgets, and need no scripts for them
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "pages.anchor"
mathjax_path = "mathjax/tex-chtml-full.js"  # of an installed package; with all of its extensions

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "static/favicon.svg"
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["course.css"]
html_context = {"default_mode": "auto"}  # dark where the reader's system is
html_theme_options = {
    "navbar_persistent": [],  # one field to search is enough, and stands above the contents
    "use_fullscreen_button": False,
    "show_toc_level": 2,
}
