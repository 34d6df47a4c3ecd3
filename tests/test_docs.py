"""The Python in README and docs/ runs, block after block.

A block that begins with ```python needs=torch runs where that package is installed.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.exists()]
BLOCK = re.compile(r"^```python(?: needs=(\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Each page, and each package that one of its blocks needs.
RUNS = [(p, needs) for p in PAGES for needs in dict(BLOCK.findall(p.read_text()))]


@pytest.mark.parametrize(("page", "needs"), RUNS, ids=lambda v: v if isinstance(v, str) else v.name)
def test_python_blocks_run(page, needs, tmp_path, monkeypatch, capsys):
    if needs:
        pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    # What a page may take for granted: some data.
    names = {
        "x": rng.normal(size=(40, 4)),
        "y": rng.normal(size=40),
        "np": np,
        "keras": fastnn,
        "fastnn": fastnn,
    }
    for needed, block in BLOCK.findall(page.read_text()):
        if needed in ("", needs):
            exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
