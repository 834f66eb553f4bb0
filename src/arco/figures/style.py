"""The look that all figures share, and files that are equal whenever the figure is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

DOTS_PER_INCH = 200
CAPTION_SIZE = 8


@contextmanager
def house_style() -> Iterator[None]:
    """Style of everything drawn inside the block; nothing outside it changes.

    Figures are made as `matplotlib.figure.Figure`, without pyplot: no display, no global state.
    """
    rc = {
        **sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9"}),
        **sns.plotting_context("paper"),
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
        "axes.spines.right": False,
        "axes.spines.top": False,
        "pdf.fonttype": 42,  # editable text, which journals ask for
    }
    with mpl.rc_context(rc):
        yield


def colors(count: int) -> list[tuple[float, float, float]]:
    """`count` colors that color-blind readers can tell apart."""
    return list(sns.color_palette("colorblind", count))


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, equal bytes for equal figures."""
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
