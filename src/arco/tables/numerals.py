"""How scores are written: as the paper prints them, and with more digits for a spreadsheet."""

from __future__ import annotations

import math
import re

from arco.tables.collect import FRACTIONS

UNDEFINED = "–"
DISTANCE_DIGITS = 3


def unit(score: str) -> str:
    """The unit of a column of the metrics files: fraction, voxel or mm."""
    return "fraction" if score in FRACTIONS else score.rsplit("_", 1)[-1]


def printed(value: float, score: str) -> str:
    """A score as the appendix prints it.

    Fractions become percent with one decimal (85.5); distances get three significant digits
    (16.9, 8.14, 0.947), though never more than three decimals. NaN is a dash.
    """
    return UNDEFINED if math.isnan(value) else _fixed(value, score, decimals(value, score))


def printed_deviation(std: float, mean: float, score: str) -> str:
    """A standard deviation with as many decimals as its mean; empty where there is none."""
    return "" if math.isnan(std) else _fixed(std, score, decimals(mean, score))


def printed_difference(value: float, mean: float, score: str) -> str:
    """A difference with its sign and as many decimals as the mean it belongs to; NaN is a dash."""
    if math.isnan(value):
        return UNDEFINED
    text = _fixed(abs(value), score, decimals(mean, score))
    sign = "" if float(text) == 0 else "−" if value < 0 else "+"
    return sign + text


def exact(value: float, score: str) -> str:
    """A score for the csv: percent with two decimals, a distance with three, `nan` for NaN."""
    return _fixed(value, score, 2 if score in FRACTIONS else 3)


def decimals(value: float, score: str) -> int:
    """How many decimals `printed` gives a value."""
    if score in FRACTIONS:
        return 1
    # The exponent is read after rounding: 9.996 is 10.0, not 10.00.
    exponent = int(f"{value:.{DISTANCE_DIGITS - 1}e}".rpartition("e")[2])
    return min(max(DISTANCE_DIGITS - 1 - exponent, 0), 3)


def slug(label: str) -> str:
    """A printed label as part of a csv column name: `DSC[%]` becomes `dsc_percent`."""
    words = label.lower().replace("%", " percent ")
    return "_".join(re.findall(r"\w+", words))


def _fixed(value: float, score: str, places: int) -> str:
    return f"{100 * value if score in FRACTIONS else value:.{places}f}"
