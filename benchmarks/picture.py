"""A picture of a few figures, as SVG: text and rectangles, which any browser shows."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LABELS, _MARGIN = 860, 34, 380, 16


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar for each value, on one scale from zero."""
    room = _WIDTH - _LABELS - 5 * _MARGIN
    longest = max(values.values())
    height = _MARGIN * 4 + _ROW * len(values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="14">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN * 2}" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(values.items()):
        top, length = _MARGIN * 3 + _ROW * number, max(2.0, room * value / longest)
        middle = top + _ROW / 2
        lines += [
            f'<text x="{_LABELS}" y="{middle + 1:.0f}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABELS + _MARGIN}" y="{top + 4}" width="{length:.1f}" height="{_ROW - 14}" fill="#3b6ea5"/>',
            f'<text x="{_LABELS + _MARGIN + length + 6:.1f}" y="{middle + 1:.0f}">{value:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
