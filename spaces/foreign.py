"""Words of other search tools (`min`, `values`, `loguniform(…)`), answered with the same domain in ours."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spaces.values import is_number, show

_LOW, _HIGH = ("low", "min", "lower", "minimum", "start"), ("high", "max", "upper", "maximum", "stop", "end")
_PAIRS = ("uniform", "loguniform", "log_uniform", "quniform", "qloguniform", "reverse_log_uniform", "interval", "range")
_WHOLE = ("randint", "qrandint", "lograndint", "int_uniform", "integer", "integers")
_LISTS = ("values", "choices", "options", "categorical", "grid_search", "sample_from")
_NORMAL = ("normal", "lognormal", "log_normal", "randn", "gaussian", "mu", "mean", "sigma", "std")
_KINDS = ("distribution", "dist", "type", "method", "kind", "domain", "bounds", "sampling", "scale", "log_scale")
_LATTICE = ("q", "quantization")
_WORDS = frozenset((*_LOW, *_HIGH, *_PAIRS, *_WHOLE, *_LISTS, *_NORMAL, *_KINDS, *_LATTICE, "value"))
_CALL = re.compile(
    rf"(?:[A-Za-z_]+\.)*({'|'.join((*_PAIRS, *_WHOLE, *_LISTS, *_NORMAL, 'choice'))})\((.*)\)", re.DOTALL
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SHOWN = 60  # characters of a user's own choices


def remedy(keys: Iterable[Any], raw: Mapping[Any, Any]) -> str | None:
    """What to write instead of the mapping `raw`, if some of its `keys`, unknown here, are another tool's words."""
    foreign = [str(key) for key in keys if _word(key) in _WORDS]
    if not foreign:
        return None
    said = {_word(key): value for key, value in raw.items()}
    listed = next((said[word] for word in _LISTS if isinstance(said.get(word), list)), None)
    pair: list[Any] = next(
        (said[word] for word in (*_PAIRS, *_WHOLE, "bounds") if isinstance(said.get(word), list)), []
    )
    low = next((said[word] for word in _LOW if word in said), pair[0] if len(pair) == 2 else None)
    high = next((said[word] for word in _HIGH if word in said), pair[-1] if len(pair) == 2 else None)
    about = " ".join([*said, *(value for value in said.values() if isinstance(value, str))])
    step = next((said[word] for word in (*_LATTICE, "step") if word in said), None)
    if "value" in said:
        form = f"{{fixed: {show(said['value'])}}}"
    elif listed is not None or (low is None and any(word in said for word in _LISTS)):
        form = _choice(listed)
    else:
        form = _range(low, high, about, step)
    normal = "; there is no normal distribution here" if "normal" in about or "randn" in about else ""
    return f"{', '.join(foreign)}: words of another tool; here it is written {form}{normal}"


def called(text: str) -> str | None:
    """What to write instead of `text`, where it is a call of another tool such as `tune.loguniform(1e-4, 1e-2)`."""
    found = _CALL.fullmatch(text.strip())
    if found is None:
        return None
    if found[1] in (*_LISTS, "choice"):
        form = _choice(None)
    else:
        numbers = [float(n) if set(n) & set(".eE") else int(n) for n in _NUMBER.findall(found[2])]
        low, high = numbers[:2] if len(numbers) >= 2 else (None, None)
        form = _range(low, high, found[1], None)
    return f"{text!r} is text here, which would be a fixed value; a domain is written {form}"


def _word(key: Any) -> str:
    return str(key).lower().replace("-", "_")


def _choice(values: Any) -> str:
    shown = show(values) if values else ""
    return f"{{choice: {shown if 0 < len(shown) <= _SHOWN else '[VALUE, VALUE]'}}}"


def _range(low: Any, high: Any, about: str, step: Any) -> str:
    """A range as it is written here; `about`: all the words that were used for it."""
    known = is_number(low) and is_number(high)
    whole = known and all(isinstance(number, int) for number in (low, high, 1 if step is None else step))
    whole = whole and (high - low > 1 or "int" in about)  # 0 and 1 are more often a share
    log = ", log: true" if "log" in about.replace("log: false", "") else ""
    ends = f"{show(low)}, {show(high)}" if known else "LOW, HIGH"
    kind = "int" if whole or (not known and "int" in about) else "float"
    return f"{{{kind}: [{ends}]{log}{f', step: {show(step)}' if is_number(step) else ''}}}"
