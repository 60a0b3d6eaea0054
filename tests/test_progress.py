"""Progress bars: text in one output of a notebook's cell, that leaves nothing; on stderr elsewhere."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from refresh_notebooks import Client, clean, sockets_in

from mia_helpers import keys, progress

BARS = """
from IPython.display import DisplayHandle
shown, update = [], DisplayHandle.update
DisplayHandle.update = lambda handle, data, **options: (shown.append(data), update(handle, data, **options))
from mia_helpers.progress import tqdm
print("before")
for _ in tqdm(range(3), desc="training", leave=False, mininterval=0):
    pass
print(sum("training" in data["text/plain"] for data in shown), {**shown[-1]})
for _ in tqdm(range(3), disable=True):
    pass
"""


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bar_moves_in_a_notebook_and_leaves_nothing(tmp_path):
    notebook = new_notebook(cells=[new_code_cell(BARS)])
    Client(notebook, kernel_name="python3", config=sockets_in(str(tmp_path))).execute()
    before, bar, after = notebook.cells[0].outputs
    assert before.text == "before\n" and after.text == "3 {'text/plain': ''}\n"
    assert bar.data == {"text/plain": ""}, "no text is left, and no widget"
    clean(notebook)
    assert [output.output_type for output in notebook.cells[0].outputs] == ["stream"]
    nbformat.validate(notebook)


def test_elsewhere_it_is_the_librarys_on_stderr(capsys):
    assert list(progress.tqdm(range(3), desc="training")) == [0, 1, 2]
    shown = capsys.readouterr()
    assert shown.out == "" and "training: 100%" in shown.err


def test_bars_take_no_part_in_keys():
    assert keys._library_name(progress.tqdm) == "tqdm"
