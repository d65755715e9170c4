"""What the readers of JSON share: a whole report, its lists of results, its lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fabricmodel.errors import MeasurementError, at


def load_report(text: str, path: str) -> Any:
    """Parse a report.

    Raises:
      MeasurementError: where it is cut off or broken, with the line.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise MeasurementError(
            at(path, line),
            f"the JSON report is truncated or broken ({error})",
            "Give the whole report of a run that finished",
        ) from error


def find_lists(node: Any, key: str) -> Iterator[list[dict[str, Any]]]:
    """Lists of results, those that hold an object with this key, wherever they stand.

    Other things in such a list come as an object without it, so that nothing is lost.

    >>> list(find_lists({"a": {"b": [{"size": 8}, 7]}}, "size"))
    [[{'size': 8}, {'?': 7}]]
    """
    waiting = [node]
    while waiting:
        node = waiting.pop()
        children = list(node.values()) if isinstance(node, dict) else node
        if not isinstance(children, list):
            continue
        if isinstance(node, list) and any(
            isinstance(item, dict) and key in item for item in children
        ):
            yield [item if isinstance(item, dict) else {"?": item} for item in children]
        else:
            waiting += reversed(children)


def plain_token(value: Any) -> str:
    """A value as a log would print it.

    >>> plain_token(1.5), plain_token(None), plain_token("N/A")
    ('1.5', 'N/A', 'N/A')
    """
    if value is None:
        return "N/A"
    return value if isinstance(value, str) else json.dumps(value)


def key_lines(text: str, key: str) -> Iterator[int]:
    """Lines on which a key stands: the parser keeps none, but they come in order.

    >>> list(key_lines('{"size": 1,\\n\\n"size": 2}', "size"))
    [1, 3]
    """
    line, start = 1, 0
    for found in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text):
        line += text.count("\n", start, found.start())
        start = found.start()
        yield line
