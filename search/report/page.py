"""The frame of a page of ours: one file that holds everything it shows, for a report and for a comparison alike."""

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from numpy.typing import NDArray

from search.report import shown
from search.report.palette import DARK, LIGHT, SCALE, variables
from search.report.plotly_js import plotly_js

_DANGEROUS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_JOINT = re.compile(r"(?<=[._])")
_FRAME = ("base.js", "charts.js")
"""Scripts of every page: theme, numbers, lazily drawn charts."""


@cache
def templates(package: str = "search.report") -> Environment:
    """The templates of `package` and ours; what goes into one is escaped, unless it is `Markup` made here."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("search.report")]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": shown.number,
        "interval": shown.interval,
        "duration": shown.duration,
        "moment": shown.moment,
        "clock": shown.clock,
        "share": shown.share,
        "setting": shown.setting,
        "broken": broken,
    }
    found.globals |= {"count": shown.count}
    return found


def page(title: str, body: Markup, data: Mapping[str, Any], scripts: Sequence[str]) -> str:
    """A whole page. `body` is what stands between the page's bar and its end; `data` is what `scripts`, texts of
    code, read as `Report.data`.
    """
    whole = templates().get_template("page.html")
    return whole.render(body=body, plotly=_plotly_packed(), **frame(title, data, scripts))


def frame(title: str, data: Mapping[str, Any], scripts: Sequence[str], style: str = "") -> dict[str, Any]:
    """What every page of ours is filled with: its title, colours, style, data and scripts. `scripts` and `style` are
    the text of a page's own, after those of every page.
    """
    return {
        "title": title,
        "style": Markup(static("style.css") + style),  # noqa: S704 - our own files
        "light": variables(LIGHT),
        "dark": variables(DARK),
        "data": json_in_html({**data, "palette": {"light": vars(LIGHT), "dark": vars(DARK), "scale": SCALE}}),
        "script": Markup("\n".join([*map(static, _FRAME), *scripts])),  # noqa: S704 - our own files
    }


def broken(text: str) -> Markup:
    """A dotted or underscored name, escaped, that may be broken where a reader would break it."""
    return Markup("<wbr>").join(_JOINT.split(text))


def static(name: str, package: str = "search.report") -> str:
    """A file of ours, or of another package that has pages."""
    return (files(package) / "static" / name).read_text(encoding="utf-8")


@cache
def _plotly_packed() -> str:
    """Plotly as a page holds it: compressed, in base 64. The page's own script unpacks it."""
    return base64.b64encode(gzip.compress(plotly_js().encode(), mtime=0)).decode()


def json_in_html(content: Any) -> Markup:
    """JSON that stays JSON inside <script>: no text in it can end the element, open a comment or break a line."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup("".join(_DANGEROUS.get(char, char) for char in text))  # noqa: S704 - escaped right here


def packed(values: Sequence[float] | NDArray[Any], kind: str = "f4") -> dict[str, str]:
    """Numbers as base64, little endian, for `Report.unpack`: a tenth of their text. `kind`: f4, f8, u2, i4 or u1."""
    raw = np.asarray(values, dtype=f"<{kind}").tobytes()
    return {"kind": kind, "bytes": base64.b64encode(raw).decode("ascii")}
