"""The colours of every chart: Okabe and Ito's (2008), told apart by colour-blind people, each with one meaning."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours on one ground. `new` is what the search hands over, `documented` what the user had."""

    new: str
    documented: str
    other: str
    stopped: str
    diverged: str
    failed: str
    confirm: str
    text: str
    muted: str
    grid: str
    ground: str


_COLOURS = {
    "new": ("#0072B2", "#56B4E9"),
    "documented": ("#D55E00", "#E69F00"),
    "other": ("#8A8F98", "#8B929C"),
    "stopped": ("#B9BDC4", "#5D646E"),
    "diverged": ("#CC79A7", "#CC79A7"),
    "failed": ("#6B4C7A", "#B79BC4"),
    "confirm": ("#009E73", "#2FC39A"),
    "text": ("#1B1F24", "#E8EAED"),
    "muted": ("#5A626C", "#A3ABB5"),
    "grid": ("#E6E8EB", "#2C3138"),
    "ground": ("#FFFFFF", "#181B20"),
}
LIGHT = Palette(**{role: light for role, (light, _) in _COLOURS.items()})
DARK = Palette(**{role: dark for role, (_, dark) in _COLOURS.items()})

SCALE: tuple[tuple[float, str], ...] = (
    (0.0, "#00204C"),
    (0.25, "#414D6B"),
    (0.5, "#7B7B78"),
    (0.75, "#BBAE6C"),
    (1.0, "#FFE945"),
)
"""Cividis (Nuñez et al. 2018), for what has a rank: best is dark on light ground, bright on dark."""


def variables(palette: Palette) -> Mapping[str, str]:
    """The palette as CSS custom properties, the scale among them, best first."""
    ranks = [colour for _, colour in (reversed(SCALE) if palette is DARK else SCALE)]
    scale = {"--scale": f"linear-gradient(to right, {', '.join(ranks)})"}
    return {f"--{name}": getattr(palette, name) for name in Palette.__dataclass_fields__} | scale
