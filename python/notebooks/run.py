"""Makes the notebooks again from the scripts beside them, or checks that they still run.

    python notebooks/run.py            runs them and writes their outputs
    python notebooks/run.py --check    runs them and writes nothing; ends in an error if a cell does
    python notebooks/run.py 2          only those whose names begin so

Each notebook is a Python script with cells: `# %% [markdown]` for text, `# %%` for code. The notebook that is kept has the
outputs of the last run.
"""

from __future__ import annotations

import pathlib
import sys

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).parent


def cells(script: str) -> list[nbformat.NotebookNode]:
    """The cells of a script."""
    found = []
    for number, part in enumerate(script.split("# %%")[1:]):
        heading, _, body = part.partition("\n")
        if "[markdown]" in heading:
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines())
            cell = nbformat.v4.new_markdown_cell("\n".join(lines))
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
        cell["id"] = f"cell-{number}"
        found.append(cell)
    return found


def main() -> None:
    check = "--check" in sys.argv
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or [""]
    for path in sorted(HERE.glob("[0-9]*.py")):
        if not path.name.startswith(tuple(names)):
            continue
        notebook = nbformat.v4.new_notebook(cells=cells(path.read_text(encoding="utf-8")))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
        for cell in notebook.cells:
            # When a cell ran is of no interest, and would change with every run.
            cell.metadata.pop("execution", None)
        kept = path.with_suffix(".ipynb")
        if not check:
            nbformat.write(notebook, kept)
        elif [cell.source for cell in nbformat.read(kept, 4).cells] != [cell.source for cell in notebook.cells]:
            raise SystemExit(f"{kept.name} is not that of {path.name}: run notebooks/run.py")
        print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells ran")


if __name__ == "__main__":
    main()
