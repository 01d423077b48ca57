"""The retention matrix as a picture.

Knows: matplotlib. Refuses to know: where figures come from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")  # pictures go to files; no window may be opened
from matplotlib import pyplot

CELL_INCHES: Final = 0.62
DARK: Final = 0.55  # cells above this share carry white numbers


def draw_retention(matrix: Sequence[Sequence[float | None]], path: Path, *, title: str) -> None:
    """Write the matrix as a PNG: a row for each update, a column for what each update taught, the share in every cell.

    Grey levels and numbers say the same, so the picture also reads in black and white.
    """
    size = len(matrix)
    figure, axes = pyplot.subplots(figsize=(2.6 + CELL_INCHES * size, 2.0 + CELL_INCHES * size), dpi=150)
    try:
        shares = [[float("nan") if cell is None else cell for cell in row] for row in matrix]
        axes.imshow(shares, cmap="Greys", vmin=0.0, vmax=1.15, aspect="equal")
        for row, cells in enumerate(matrix):
            for column, cell in enumerate(cells):
                if cell is not None:
                    color = "white" if cell > DARK else "black"
                    axes.text(column, row, f"{cell:.2f}", ha="center", va="center", color=color, fontsize=9)
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
