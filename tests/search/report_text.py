"""What stands in a report's page: its words, tags and numbers."""

import base64
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    match = re.search(r'<script id="report-data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    told: dict[str, Any] = json.loads(match[1])
    return told


def numbers(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bytes"]), dtype=f"<{packed['kind']}")


def words(text: str) -> str:
    """What stands on the page, without markup, scripts and styles."""
    bare = re.sub(r"<(script|style).*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "wbr", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert not parser.open
    return parser.seen
