"""tests/refresh_notebooks.py: what it removes, what it keeps, and that a second run changes nothing."""

import json
import os
from pathlib import Path

import nbconvert
import nbformat
import pytest
import refresh_notebooks
import zmq.asyncio
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=text)


def live_notebook() -> nbformat.NotebookNode:
    """What a notebook looks like after somebody has worked in it."""
    outputs = [
        stream("a"),
        stream(" 50%|####", "stderr"),
        stream("b\n"),
        new_output("display_data", {refresh_notebooks.WIDGET: {"model_id": "8f2a"}, "text/plain": "interactive(…)"}),
        new_output(
            "execute_result",
            {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"},
            execution_count=17,
            metadata={"needs_background": "light"},
        ),
    ]
    cells = [
        new_markdown_cell("# Title", metadata={"editable": True}),
        new_code_cell(
            "1",
            execution_count=17,
            outputs=outputs,
            metadata={
                "tags": ["checkpoint"],
                "jupyter": {"source_hidden": True},
                "collapsed": True,
                "execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"},
            },
        ),
        new_code_cell("2", execution_count=None),
    ]
    metadata = {
        "kernelspec": {"name": "my-env", "display_name": "Mine", "language": "python"},
        "language_info": {"name": "python", "version": "3.12.1"},
        "widgets": {"state": {}},
    }
    return new_notebook(cells=cells, metadata=metadata)


def test_clean_removes_what_changes_from_run_to_run():
    notebook = live_notebook()
    refresh_notebooks.clean(notebook)
    nbformat.validate(notebook)
    text = json.dumps(notebook)
    for gone in (
        "widget",
        "interactive",
        "stderr",
        "50%",
        "2026",
        "my-env",
        "needs_background",
        "editable",
        "collapsed",
    ):
        assert gone not in text, gone


def test_clean_keeps_what_a_reader_sees():
    notebook = live_notebook()
    refresh_notebooks.clean(notebook)
    title, first, second = notebook.cells
    assert title.source == "# Title"
    assert first.metadata == {"tags": ["checkpoint"], "jupyter": {"source_hidden": True}}
    assert [o.output_type for o in first.outputs] == ["stream", "execute_result"]
    assert first.outputs[0].text == "ab\n"  # cut in two by the progress bar that went
    assert first.outputs[1].data == {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python", "version": "3.12.1"}
    assert second.outputs == []


def test_each_figure_has_its_alternative_text_where_exports_look_for_it():
    notebook = live_notebook()
    notebook.cells[1].metadata.alt = ["a rising line"]
    for _ in range(2):
        refresh_notebooks.clean(notebook)
        first = notebook.cells[1]
        assert first.metadata.alt == ["a rising line"] and first.outputs[0].get("metadata") is None
        assert first.outputs[1].metadata == {"image/png": {"alt": "a rising line"}}
    page, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(notebook)
    assert 'alt="a rising line"' in page


def test_clean_renumbers_and_names_cells_by_position():
    notebook = live_notebook()
    refresh_notebooks.clean(notebook)
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2]
    assert notebook.cells[1].outputs[1].execution_count == 1
    assert [cell.id for cell in notebook.cells] == ["cell-001", "cell-002", "cell-003"]


def test_a_solution_is_shipped_without_output():
    notebook = live_notebook()
    notebook.cells[1].metadata.tags = ["solution"]
    refresh_notebooks.clean(notebook)
    assert notebook.cells[1].outputs == [] and notebook.cells[1].execution_count == 1


def test_what_stands_for_a_widget_in_print_is_kept():
    notebook = live_notebook()
    notebook.cells[1].outputs[3].data["text/html"] = "<pre>Which?</pre>"
    refresh_notebooks.clean(notebook)
    assert notebook.cells[1].outputs[1].data == {"text/html": "<pre>Which?</pre>", "text/plain": "interactive(…)"}


def test_clean_twice_is_clean_once():
    notebook = live_notebook()
    refresh_notebooks.clean(notebook)
    once = json.dumps(notebook)
    refresh_notebooks.clean(notebook)
    assert json.dumps(notebook) == once


TINY = [
    "import sys\nimport matplotlib.pyplot as plt\nfrom tqdm.auto import tqdm",
    "for _ in tqdm(range(3)):\n    print('step', flush=True)\n    print('bar', file=sys.stderr, flush=True)",
    "_ = plt.plot([0, 1])\nplt.show()",
    "import ipywidgets\nipywidgets.IntSlider()",
    "1 + 1",
]


def without_pictures(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = "a figure"
    return json.dumps(notebook)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_refreshing_twice_changes_figures_at_most(tmp_path, monkeypatch):
    path = tmp_path / "01_tiny.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in TINY]), path)
    monkeypatch.setattr(refresh_notebooks, "NOTEBOOKS", tmp_path)
    refresh_notebooks.main(["01"])
    once = without_pictures(path)
    refresh_notebooks.main([])
    assert without_pictures(path) == once
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4, 5]
    assert [o.text for o in cells[1].outputs] == ["step\nstep\nstep\n"]
    assert "image/png" in cells[2].outputs[0].data
    assert cells[3].outputs == []
    assert cells[4].outputs[0].data == {"text/plain": "2"}


def test_a_notebook_that_fails_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "01_tiny.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    monkeypatch.setattr(refresh_notebooks, "NOTEBOOKS", tmp_path)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        refresh_notebooks.main(["01"])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_an_unknown_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(refresh_notebooks, "NOTEBOOKS", tmp_path)
    (tmp_path / "01_tiny.ipynb").write_text("{}")
    with pytest.raises(SystemExit, match="no notebook begins with 77; there are 01_tiny.ipynb"):
        refresh_notebooks.main(["01", "77"])
    assert (tmp_path / "01_tiny.ipynb").read_text() == "{}"  # nothing was begun


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_is_not_told_of_an_answer_finds_it_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(zmq.asyncio.Socket, "_init_io_state", lambda *_: None)  # asyncio does not watch the sockets
    notebook = new_notebook(cells=[new_code_cell("1 + 1"), new_code_cell("2 + 2")])
    sockets = refresh_notebooks.sockets_in(str(tmp_path))
    refresh_notebooks.Client(notebook, timeout=60, kernel_name="python3", config=sockets).execute()
    assert [cell.outputs[0].data["text/plain"] for cell in notebook.cells] == ["2", "4"]
