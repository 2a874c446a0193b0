"""Plotly's script as our pages hold it: without the kinds of chart that none of them draws, a quarter as long.

Plotly's Python package ships one bundle with every kind of chart (maps, 3D, …). Its bundler, esbuild, writes a module
as `var NAME=WRAP((exports,module)=>{…});`, and a module is loaded by `NAME()`. The bundle's last module registers the
kinds of chart. So: register only ours there, and keep the modules that can be reached from that one.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

KINDS = frozenset({"scatter", "bar"})
"""The kinds of chart that our pages draw. Scatter is in Plotly's core: the last module does not register it."""

_MODULE = re.compile(r"(?<=\}\);)var ([\w$]+)=[\w$]+\((?:\([\w$,]*\)|[\w$]+)=>\{")
_LAZY = re.compile(r"([\w$]+)=[\w$]+\(\(\)=>\{")
_NAME = re.compile(r"(?<![\w$.])[\w$]+")
_REGISTERED = re.compile(r"(?<=\.register\(\[)(?:[\w$]+\(\),?)+(?=\]\))")
_FORWARDED = re.compile(r"exports=([\w$]+)\(\)")
_KIND = re.compile(r'moduleType:"trace",name:"(\w+)"')


@cache
def plotly_js() -> str:
    """The installed Plotly's script, reduced to `KINDS`."""
    return reduced(_shipped())


def reduced(script: str) -> str:
    """A bundle of Plotly with the charts in `KINDS` alone; the same text where it isn't written as expected."""
    heads = list(_MODULE.finditer(script))
    registered = _REGISTERED.search(script, heads[-1].start()) if heads else None
    if registered is None:
        return script
    end = script.index("});", registered.end()) + 3
    ends = [head.start() for head in heads[1:]] + [end]
    modules = {head[1]: script[head.start() : stop] for head, stop in zip(heads, ends, strict=True)}
    kinds = {name: _kind(modules, name) for name in _NAME.findall(registered[0])}
    ours = [name for name, kind in kinds.items() if kind in KINDS]
    if {kinds[name] for name in ours} != KINDS - {"scatter"}:
        return script
    root = heads[-1][1]
    modules[root] = modules[root].replace(registered[0], ",".join(f"{name}()" for name in ours))
    needed = _reachable(modules, root)
    kept = "".join(text for name, text in modules.items() if name in needed)
    return script[: heads[0].start()] + kept + script[end:]


def _shipped() -> str:
    """Read as a file: importing the package takes a second and gives no more."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None, "plotly is a dependency of this package"
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _kind(modules: dict[str, str], name: str) -> str | None:
    """The kind of chart that a module defines; it may only pass another module on."""
    while name in modules:
        if found := _KIND.search(modules[name]):
            return found[1]
        forwarded = _FORWARDED.findall(modules[name])
        name = forwarded[0] if len(forwarded) == 1 else ""
    return None


def _reachable(modules: dict[str, str], root: str) -> set[str]:
    """Modules whose names stand in the text of one that is needed: a local variable of the same name keeps one too
    many, which costs a tenth of the length and can't break anything."""
    owner = {name: name for name in modules}
    owner |= {lazy: name for name, text in modules.items() for lazy in _LAZY.findall(text)}
    needed: set[str] = set()
    ahead = {root}
    while ahead:
        needed |= ahead
        named = {owner[word] for name in ahead for word in set(_NAME.findall(modules[name])) if word in owner}
        ahead = named - needed
    return needed
