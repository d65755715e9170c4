"""The one family of exceptions: each names the place, the value and the remedy."""

from __future__ import annotations

import os


class FabricModelError(ValueError):
    """Bad input, said once and clearly.

    The message reads ``PLACE: WHAT. REMEDY``: where the value stands (a file and a
    line, or an argument), what is wrong with it, and what would put it right.

    >>> str(FabricModelError("ranks", "7 ranks do not fill rings of 4", "Ask for 8"))
    'ranks: 7 ranks do not fill rings of 4. Ask for 8.'
    """

    def __init__(self, place: str, what: str, remedy: str) -> None:
        """Keep the three parts, for programs, and join them, for people."""
        self.place, self.what, self.remedy = place, what.rstrip("."), remedy.rstrip(".")
        super().__init__(f"{self.place}: {self.what}. {self.remedy}.")

    def __reduce__(self):  # an exception with several arguments pickles only like so
        return type(self), (self.place, self.what, self.remedy)


class MeasurementError(FabricModelError):
    """A measurement file, or a line of it, that can't be used."""


class FabricError(FabricModelError):
    """A fabric description, or a question to a fabric, that makes no sense."""


def at(path: str | os.PathLike[str], line: int | None = None) -> str:
    """Name a place in a file, ``path`` or ``path, line 12``.

    >>> at("run.log", 12)
    'run.log, line 12'
    """
    return os.fspath(path) if line is None else f"{os.fspath(path)}, line {line}"
