"""The retention matrix as a picture.

Knows: matplotlib. Refuses to know: where figures come from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")  # pictures go to files; no window may be opened
from matplotlib import pyplot
from matplotlib.patches import Rectangle

CELL_INCHES: Final = 0.62
LIGHTEST_GREY: Final = 0.97
DARKEST_GREY: Final = 0.10
MIDDLE_GREY: Final = 0.46  # here black and white numbers stand out equally, by the contrast ratio of WCAG 2


def grey_of(share: float) -> float:
    """The grey of a share, 0 black to 1 white: the larger the share, the darker, in even steps."""
    return LIGHTEST_GREY + (DARKEST_GREY - LIGHTEST_GREY) * share


def draw_retention(matrix: Sequence[Sequence[float | None]], path: Path, *, title: str) -> None:
    """Write the matrix as a PNG: a row for each update, a column for what each update taught, the share in every cell.

    Grey levels and numbers say the same, so the picture also reads in black and white. A cell that is hatched was not
    asked: nothing of what that update taught is still true, or it taught nothing; above the diagonal there is nothing.
    """
    size = len(matrix)
    figure, axes = pyplot.subplots(figsize=(2.6 + CELL_INCHES * size, 2.0 + CELL_INCHES * size), dpi=150)
    try:
        greys = [[1.0 if cell is None else grey_of(cell) for cell in row] for row in matrix]
        axes.imshow(greys, cmap="gray", vmin=0.0, vmax=1.0, aspect="equal")
        for row, cells in enumerate(matrix):
            for column, cell in enumerate(cells):
                if cell is not None:
                    color = "white" if grey_of(cell) < MIDDLE_GREY else "black"
                    axes.text(column, row, f"{cell:.2f}", ha="center", va="center", color=color, fontsize=9)
                elif column <= row:
                    corner = (column - 0.5, row - 0.5)
                    axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor="0.6", linewidth=0))
        numbers = [str(number + 1) for number in range(size)]
        axes.set_xticks(range(size), numbers)
        axes.set_yticks(range(size), numbers)
        axes.set_xlabel("what update ... taught")
        axes.set_ylabel("asked after update")
        axes.set_title(title, fontsize=10)
        figure.tight_layout()
        figure.savefig(path)
    finally:
        pyplot.close(figure)
