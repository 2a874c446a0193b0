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


LIGHT = Palette(
    new="#0072B2",
    documented="#D55E00",
    other="#8A8F98",
    stopped="#B9BDC4",
    diverged="#CC79A7",
    failed="#6B4C7A",
    confirm="#009E73",
    text="#1B1F24",
    muted="#5A626C",
    grid="#E6E8EB",
    ground="#FFFFFF",
)
DARK = Palette(
    new="#56B4E9",
    documented="#E69F00",
    other="#8B929C",
    stopped="#5D646E",
    diverged="#CC79A7",
    failed="#B79BC4",
    confirm="#2FC39A",
    text="#E8EAED",
    muted="#A3ABB5",
    grid="#2C3138",
    ground="#181B20",
)

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
