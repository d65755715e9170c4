"""Files that are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from fabricmodel.errors import FabricModelError, at


@contextlib.contextmanager
def whole_file(
    path: str | os.PathLike[str], error: type[FabricModelError] | None = None
) -> Iterator[Path]:
    """Give a scratch file beside ``path``, which takes its place once it is written.

    Args:
      path: of the file; what was there stays until the last step.
      error: raised, with a remedy, in the place of an ``OSError``; None keeps that.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "a.txt")) as scratch:
    ...         _ = scratch.write_text("all of it")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    target = Path(path)
    scratch = target.parent / f".{target.name}.{uuid.uuid4().hex}.part"
    try:
        yield scratch
        scratch.replace(target)
    except OSError as failure:
        if error is None:
            raise
        raise error(
            at(target),
            f"can't be written ({failure.strerror or failure})",
            "Give a file in an existing folder that you may write to",
        ) from failure
    finally:
        with contextlib.suppress(OSError):  # of a folder that isn't one
            scratch.unlink(missing_ok=True)
