"""The course in the program that it is made for: JupyterLab, driven by mouse and keyboard."""


def test_a_run_stops_at_an_error_and_says_so(lab, open_page):
    book = lab.open(open_page, lab.write("error.ipynb", "1 + 1", "1 / 0", "3"))
    book.run_all()
    (error,) = book.errors()
    assert "ZeroDivisionError" in error
    assert book.cell("1 + 1").locator(".jp-OutputArea-output").inner_text() == "2"
    assert not book.complaints
