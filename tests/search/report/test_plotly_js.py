"""Plotly's script, reduced to the charts that our pages draw."""

import re
from pathlib import Path

import search
from search.report.plotly_js import KINDS, plotly_js, reduced

BUNDLE = (
    "/* licence */(function(){var w=(e,t)=>()=>t;var no=1;(()=>{});"
    'var A=w((a,b)=>{b.exports={moduleType:"trace",name:"bar"}});'
    "var B=w(a=>{a.x=A()});"
    "var C=w((a,b)=>{b.exports=A()});"
    'var D=w((a,b)=>{E();b.exports={moduleType:"trace",name:"pie"}});'
    "var E=w(a=>{a.y=F()});function late(){}var F=w2(()=>{late()});"
    "var G=w((a,b)=>{b.exports={core:F}});"
    "var R=w((a,b)=>{var r=G();r.register([C(),D()]);b.exports=r});return R();})();window.Plotly = Plotly;"
)


def test_what_a_kept_chart_needs_is_kept_and_nothing_else() -> None:
    script = reduced(BUNDLE)
    assert re.findall(r"var ([A-Z])=", script) == ["A", "C", "E", "F", "G", "R"]  # F stands in E's text
    assert "r.register([C()]);" in script and "pie" not in script
    assert script.startswith(BUNDLE[: BUNDLE.index("var A=")]) and script.endswith(BUNDLE[BUNDLE.index("return R()") :])


def test_a_bundle_that_is_written_otherwise_stays_whole() -> None:
    for other in ("", "var Plotly = {}", BUNDLE.replace('"bar"', '"stick"'), BUNDLE.replace(".register([", ".add([")):
        assert reduced(other) == other


def test_the_installed_plotly_is_reduced_and_its_licences_stay() -> None:
    script = plotly_js()
    assert 1_000_000 < len(script) < 1_500_000
    assert script.lstrip("/*\n ").startswith("plotly.js v") and "Licensed under the MIT license" in script[:300]
    assert "\nreturn Plotly;" in script[-100:]


def test_our_pages_draw_no_other_kind() -> None:
    scripts = [file.read_text(encoding="utf-8") for file in Path(search.__path__[0]).rglob("static/*.js")]
    drawn = {kind for text in scripts for kind in re.findall(r'\btype: "(\w+)"', text)}
    assert drawn - KINDS <= {"line", "rect", "data", "category", "log", "linear", "date", "module"} and drawn >= KINDS
