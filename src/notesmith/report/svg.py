"""SVG as strings: elements with escaped text, a linear scale and round axis ticks.

Figures carry classes, not colours. In a page the page's style sheet colours them, so they follow
light and dark; ``standalone`` adds fixed colours for a file of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# The light theme's colours, for figures in files; templates/style.css holds both themes.
_FILE_STYLE = f"""
text{{font-family:{FONT};font-size:12.5px;fill:#161b22}}
.muted{{fill:#5b6675}}.strong{{font-weight:600}}.small{{font-size:11.5px}}
.axis,.grid{{stroke:#e3e7ec;stroke-width:1}}.axis{{stroke:#b3bcc8}}
.ref{{stroke:#7b8696;stroke-width:1.25;stroke-dasharray:3 3;fill:none}}
.zone{{fill:#eef1f5}}
.line{{stroke:#5b6675;stroke-width:2;fill:none;stroke-linecap:round;stroke-linejoin:round}}
.dot{{fill:#5b6675}}.ring{{fill:#ffffff;stroke:#5b6675;stroke-width:1.75}}
.rep{{fill:#5b6675;fill-opacity:.38}}
.bar{{fill:#c3cad4}}.track{{fill:#eef1f5}}
.focus.line,.focus .line{{stroke:#1c5fc4}}.focus.dot,.focus .dot{{fill:#1c5fc4}}
.focus.ring,.focus .ring{{stroke:#1c5fc4}}.focus.rep,.focus .rep{{fill:#1c5fc4}}
.focus.bar,.focus .bar{{fill:#1c5fc4}}.focus.zone{{fill:#dfe9f8}}.focus.ref{{stroke:#1c5fc4}}
.good .line{{stroke:#12795a}}.good .dot{{fill:#12795a}}.good .word{{fill:#12795a}}
.bad .line{{stroke:#b3332d}}.bad .dot{{fill:#b3332d}}.bad .word{{fill:#b3332d}}
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawing: its parts, size in user units, and words for those who cannot see it."""

    name: str
    title: str
    description: str
    width: float
    height: float
    parts: tuple[str, ...]

    def inline(self, *, prefix: str = "") -> str:
        """Return the ``<svg>`` for a page; ``prefix`` keeps ids unique there."""
        return self._svg(f"{prefix}{self.name}", style="")

    def standalone(self) -> str:
        """Return an SVG file with its own colours on white."""
        ground = element("rect", x=0, y=0, width=self.width, height=self.height, fill="#ffffff")
        body = f"<style>{_FILE_STYLE}</style>{ground}"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{self._svg(self.name, style=body)}\n'

    def _svg(self, name: str, *, style: str) -> str:
        title_id, desc_id = f"{name}-title", f"{name}-desc"
        inner = (
            f'<title id="{title_id}">{_escaped(self.title)}</title>'
            f'<desc id="{desc_id}">{_escaped(self.description)}</desc>'
            f"{style}{''.join(self.parts)}"
        )
        return element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_number(self.width)} {_number(self.height)}",
            width=self.width,
            height=self.height,
            role="img",
            aria_labelledby=f"{title_id} {desc_id}",
            inner=inner,
        )


def element(tag: str, *, inner: str | None = None, **attributes: float | str | None) -> str:
    """Return one element; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``.

    ``inner`` is markup and is not escaped; attributes are, and those that are None are left out.
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}"
        f"={quoteattr(_number(value) if isinstance(value, (int, float)) else value)}"
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}/>" if inner is None else f"<{tag}{written}>{inner}</{tag}>"


def text(
    x: float, y: float, words: str, class_: str | None = None, anchor: str | None = None
) -> str:
    """Return escaped text with its baseline at ``y``."""
    return element(
        "text", x=x, y=y, class_=class_ or None, text_anchor=anchor, inner=_escaped(words)
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def circle(x: float, y: float, r: float, class_: str) -> str:
    """Return a dot."""
    return element("circle", cx=x, cy=y, r=r, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *, round_: float = 0) -> str:
    """Return a box; a negative width counts as none."""
    return element(
        "rect",
        x=x,
        y=y,
        width=max(width, 0.0),
        height=height,
        rx=round_ or None,
        class_=class_,
    )


def group(class_: str, *parts: str) -> str:
    """Return parts under one class."""
    return element("g", class_=class_ or None, inner="".join(parts))


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``[low, high]`` of the data to ``[start, end]`` on paper, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of ``value``, held inside the paper."""
        ratio = (value - self.low) / (self.high - self.low)
        return self.start + min(max(ratio, 0.0), 1.0) * (self.end - self.start)


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Return round numbers (steps of 1, 2 or 5 times a power of ten) that span the range."""
    span = max(high - low, 1e-9)
    raw = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last == first:
        last += 1
    return [round(i * step, 10) for i in range(first, last + 1)]


def shorten(words: str, characters: int) -> str:
    """Cut ``words`` with an ellipsis to fit about ``characters``."""
    return words if len(words) <= characters else words[: max(characters - 1, 1)].rstrip() + "…"


def slug(name: str) -> str:
    """ASCII letters, digits and dashes of ``name``, for ids and file names."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")[:40] or "x"


def _escaped(words: str) -> str:
    # Control characters are not allowed in XML, escaped or not.
    return escape("".join(c if c.isprintable() else " " for c in words))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
