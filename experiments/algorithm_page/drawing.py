"""A small figure: one curve among its relatives, log time against log size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 34
TIMES = {1e-6: "1 us", 1e-4: "100 us", 1e-2: "10 ms", 1.0: "1 s"}
MARKS = {2.0**10: "1 KiB", 2.0**20: "1 MiB", 2.0**30: "1 GiB"}


def draw(
    sizes: np.ndarray, curve: np.ndarray, relatives: Sequence[np.ndarray], title: str
) -> str:
    """Return an SVG: the curve in colour and bold, its relatives thin and grey."""
    everything = np.concatenate([curve, *relatives])
    low, high = np.log10(everything.min()), np.log10(everything.max())
    pad = 0.06 * max(high - low, 0.5)
    low, high = low - pad, high + pad
    first, last = np.log2(sizes[0]), np.log2(sizes[-1])

    def x(size: float) -> float:
        part = (np.log2(size) - first) / (last - first)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(seconds: float) -> float:
        part = (np.log10(seconds) - low) / (high - low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def line(values: np.ndarray, style: str) -> str:
        points = " ".join(
            f"{x(s):.1f},{y(t):.1f}" for s, t in zip(sizes, values, strict=True)
        )
        return f'<polyline points="{points}" fill="none" {style}/>'

    box = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="10">',
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<rect {box} height="{HEIGHT - TOP - BOTTOM}" fill="none" stroke="#888"/>',
    ]
    for size, name in MARKS.items():
        end = ' text-anchor="middle"' if size < MARKS_END else ' text-anchor="end"'
        at = x(size) if size < MARKS_END else WIDTH - RIGHT
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 13}"{end}>{name}</text>'
        )
    for seconds, name in TIMES.items():
        if low <= np.log10(seconds) <= high:
            parts.append(
                f'<text x="{LEFT - 4}" y="{y(seconds) + 3:.1f}" '
                f'text-anchor="end">{name}</text>'
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(seconds):.1f}" '
                f'y2="{y(seconds):.1f}" stroke="#ddd"/>'
            )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">size</text>'
    )
    parts += [line(other, 'stroke="#b0b0b0" stroke-width="1"') for other in relatives]
    parts.append(line(curve, 'stroke="#c2410c" stroke-width="2.2"'))
    parts.append("</svg>\n")
    return "\n".join(parts)


MARKS_END = 2.0**30
