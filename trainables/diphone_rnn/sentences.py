"""Short English sentences from two grammars: everyday talk of 280 words, some 10^6 different ones, or of 50 words.

A slot in braces is filled with one of its phrases; phrases may hold slots. Every phoneme of English occurs in either.
Card et al. (NEJM 2024) began with 50 words, too, before they went on to all of English; these here are others.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Vocabulary = Literal["small", "large"]


@dataclass(frozen=True)
class _Grammar:
    """Ways to say something."""

    templates: tuple[str, ...]
    phrases: Mapping[str, tuple[str, ...]]  # of each slot


_TEMPLATES = (
    "{who} {did} {thing} {where}.",
    "{who} {did} {thing} {when}.",
    "{when} {who} {did} {thing}.",
    "{thing} {where} {was} {quality}.",
    "{opinion} {thing} {was} {quality}.",
    "{opinion} {who} {did} {thing}.",
    "can you {act} {thing} {when}?",
    "please {act} {thing} {where}.",
    "why {would} {who} {act} {thing}?",
    "{who} {would} {act} {thing} {when}.",
    "I feel {quality} {when}.",
    "{thing} or {thing}, {opinion} both are {quality}.",
)
_SLOTS = {
    "who": (
        "I;you;we;they;my brother;my mother;the nurse;our neighbor;the young teacher;her father;a friend;George;Judy;"
        "the boys;those children;his cousin;the judge;everyone;the cook;Charlie"
    ),
    "did": (
        "found;wanted;brought;saw;painted;fixed;lost;enjoyed;showed me;thought about;asked for;measured;pushed;joined;"
        "threw away;chose;heard about;used;watched;shared"
    ),
    "act": (
        "find;bring;open;move;wash;choose;check;carry;enjoy;use;fix;watch;share;push;show me;pay for;look for;throw out"
    ),
    "would": "would;could;should;might;will",
    "thing": (
        "{the} {kind} {object};{the} {object};{the} {object};{the} {object};some {stuff};the {stuff};{number} {object}s"
    ),
    "the": "the;a;this;that;my;your;another;the other;his",
    "kind": "small;blue;cheap;thin;huge;yellow;broken;usual;wooden;quiet;short;thick;new;fresh;strange;good;heavy",
    "object": (
        "chair;book;phone;garage door;window;jacket;picture;bed;hat;cup;boat;letter;pillow;key;television;shoe;song;"
        "cat;dog;bird;bath;toy;joke;van;thumb;nail;wheel;road;shore;kitchen;map;cloud"
    ),
    "stuff": "water;coffee;music;bread;soup;money;oil;weather;juice;food;cheese;fresh air;clothing;paper;treasure",
    "number": "two;three;four;five;six;eight;ten;many;both",
    "where": (
        "at home;in the yard;by the river;near the church;on the shelf;outside;under the bridge;at the office;upstairs;"
        "in her room;behind the house;beside the path;over there;in the north"
    ),
    "when": (
        "today;this morning;last year;on Thursday;after lunch;right now;every day;in July;at noon;before the show;"
        "again;tomorrow;for an hour;once in a while;with pleasure"
    ),
    "was": "was;is;will be;looks;sounded;has never been;could be",
    "quality": (
        "good;very cold;too loud;just fine;better;pretty dull;enough;worth it;quite usual;really funny;so warm;ready;"
        "much too big;a bit rough;cheerful;hungry;sure;nothing new"
    ),
    "opinion": "I think;we hope;they say;you know;maybe;she said;I guess;it is true that;of course",
}
_FEW_TEMPLATES = (
    "{who} {did} {the} {thing}.",
    "{who} {did} {the} {kind} {thing}.",
    "{who} {did} {the} {thing} {when}.",
    "{when} {who} {did} {the} {kind} {thing}.",
    "{the} {thing} is {kind} {when}.",
    "{the} {kind} {thing} is {how}.",
    "{who} {did} {the} {thing} and {the} {kind} {thing}.",
)
_FEW_SLOTS = {
    "who": "I;you;we;they;mother;Judy",
    "did": "found;brought;saw;need;show;choose;enjoy;measure;took",
    "the": "the;my;this;your;our",
    "kind": "good;small;yellow;huge;new;cheap;thin;other",
    "how": "good;here;outside;new",
    "thing": "chair;book;water;key;boy;bird;house;voice;van;phone;bath;dog;thing;song",
    "when": "today;now;again;outside;here;Thursday",
}


def _grammar(templates: tuple[str, ...], slots: Mapping[str, str]) -> _Grammar:
    return _Grammar(templates, {slot: tuple(phrases.split(";")) for slot, phrases in slots.items()})


_GRAMMARS = {"large": _grammar(_TEMPLATES, _SLOTS), "small": _grammar(_FEW_TEMPLATES, _FEW_SLOTS)}
_SLOT = re.compile(r"\{(\w+)\}")
HELD_OUT = 8
"""One sentence in so many, by the hash of its text, is kept for validation and never trained on."""


def sentence(rng: np.random.Generator, held_out: bool, vocabulary: Vocabulary) -> str:
    """A sentence drawn with `rng` from those that are kept for validation, or from the others."""
    grammar = _GRAMMARS[vocabulary]
    while True:
        text = grammar.templates[rng.integers(len(grammar.templates))]
        while slot := _SLOT.search(text):
            phrases = grammar.phrases[slot.group(1)]
            text = text[: slot.start()] + phrases[rng.integers(len(phrases))] + text[slot.end() :]
        if is_held_out(text) == held_out:
            return text[0].upper() + text[1:]


def is_held_out(text: str) -> bool:
    """Whether a sentence is one for validation: it depends on its text alone, so the sets share none."""
    return hashlib.sha256(text.lower().encode()).digest()[0] % HELD_OUT == 0
