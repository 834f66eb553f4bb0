"""Progress for people: a bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

LOG = logging.getLogger("arco")
SECONDS_BETWEEN_LINES = 20.0

Report = Callable[[int, int], None]


def reporter(what: str) -> Report:
    """A function to call with (done, total) whenever something got done.

    On a terminal it draws a bar; elsewhere it writes a line at the start, at the end and every
    20 seconds, with the time that is left at the present speed.
    """
    return _bar(what) if sys.stderr.isatty() else _lines(what)


def _bar(what: str) -> Report:
    from tqdm import tqdm

    bar = tqdm(desc=what, dynamic_ncols=True, leave=False)

    def report(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return report


def _lines(what: str) -> Report:
    first: tuple[float, int] | None = None
    last = float("-inf")

    def report(done: int, total: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        if first is None:
            first = (now, done)
        if done < total and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        left = ""
        if first[1] < done < total:
            seconds = (now - first[0]) / (done - first[1]) * (total - done)
            left = f", about {seconds:.0f} s left"
        LOG.info("%s: %d of %d%s", what, done, total, left)

    return report
