"""Runs examples/notebook/dcc.ipynb in a Jupyter kernel and looks at what its cells show.

usage: notebook.py NOTEBOOK [PAGE.html]      needs nbclient, ipykernel; PAGE: the notebook with its outputs, needs nbconvert
"""
import html.parser
import os
import sys

import nbclient
import nbformat


class Cells(html.parser.HTMLParser):
    """The texts of a table's cells, row by row; any tag that a table does not want."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.strange = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")
        elif tag not in ("table", "caption"):
            self.strange.append(tag)

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def shown(cell, kind):
    """What a cell's outputs are as text of this kind."""
    return "".join(o.get("text", "") if o["output_type"] == "stream" and kind == "text/plain" else o.get("data", {}).get(kind, "") for o in cell.outputs)


def main(path, page=None):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    if any(cell.cell_type == "code" and (cell.outputs or cell.execution_count) for cell in book.cells):
        sys.exit(f"{path}: is kept without outputs")
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": os.path.dirname(path)}}).execute()
    model, run, ir, fused, error = [cell for cell in book.cells if cell.cell_type == "code"]
    table = Cells(shown(model, "text/html"))
    wanted = [["input", "x", "float32", "[batch, seq, 48]"], ["output", "y", "float32", "[batch, seq, 48]"], ["symbol", "seq", "", "0 .. 2147483647"]]
    assert all(row in table.rows for row in wanted) and not table.strange, (table.rows, table.strange)
    assert {row[1] for row in table.rows if row[0] == "size"} == {"weights", "code", "workspace"}, table.rows
    assert shown(model, "text/plain") == "<dcc.Model dynconv(x: float32[batch, seq, 48]) -> y: float32[batch, seq, 48]>", shown(model, "text/plain")
    assert shown(run, "text/plain").startswith("((2, 17, 48), "), shown(run, "text/plain")
    assert "func @main(" in shown(ir, "text/plain") and " = winconv " in shown(ir, "text/plain"), shown(ir, "text/plain")
    assert "\nwinconv /0/conv/Add_3\n" in shown(fused, "text/plain"), shown(fused, "text/plain")
    assert shown(error, "text/plain") == "x | input 'x': dim 2 is 47, expected 48\n", shown(error, "text/plain")
    print("notebook: all is well")
    if page:
        import nbconvert

        with open(page, "w", encoding="utf-8") as f:
            f.write(nbconvert.HTMLExporter(template_name="classic").from_notebook_node(book)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
