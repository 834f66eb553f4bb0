"""The one exception that ends a command: a mistake its user can mend."""

from __future__ import annotations


class ArcoError(Exception):
    """A problem with the user's files or parameters, told in one sentence.

    The message names the file or the parameter and says what to do. The command line prints it
    without a traceback and exits with code 1; everything else that is raised is a bug of ours.
    """
