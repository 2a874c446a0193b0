"""From what the user wrote to one checked search: the YAML, the native file and the model's space put together."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from search.common.quantities import seconds
from search.common.store_uri import VARIABLE, mask, unusable
from search.spec import fit, here, late, lengths, storage
from search.spec.basis import Basis, basis
from search.spec.config import Settings, WarmStart
from search.spec.knobs import filled, named, searched_space
from search.spec.problems import Problems
from search.spec.search import Search
from search.spec.settings_file import read_settings
from search.stopping.kind import Lengths
from search.stopping.rungs import Goal
from spaces.paths import get, with_values
from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import Section
from spaces.space import Space
from trainables.keys import unsettled
from trainables.native import plain, unknown_keys
from trainables.run import PACE, Model, Objective

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_GUESSED = " (held against the documented recipe, for base can't be read)"


@dataclass(frozen=True)
class _Shape:
    """What is searched, and how long its trials are: all that can be said before it is known which knobs act."""

    native: Mapping[str, Any]
    fitted: fit.Fitted
    fixed: Mapping[str, Any]
    length: lengths.Limits
    further: tuple[Goal, ...]
    data: Section


def resolve(
    path: Path,
    overrides: Sequence[str] = (),
    name: str | None = None,
    fork: str | None = None,
    results: Path | None = None,
) -> Search:
    """Read and check everything that a search needs, the content of its data aside. Raises BadInput with all problems.

    `fork`: the name of a new search that starts from the trials of the one that this would otherwise be. `results`:
    where searches are kept, for one that is to run here: whether what it needs lies here is checked, too.
    """
    where = str(path)
    settings, problems = read_settings(path, overrides)
    known = basis(settings, path, problems)
    settings = settings if known is None else known.settings
    limits = problems.checked(lambda: lengths.ceilings(settings, where), "resources", "trial_timeout")
    problems.checked(lambda: _check_tracking(settings, where), "tracking")
    if (limit := settings.check) is not None:
        problems.checked(lambda: seconds(limit, f"{where} check"), "check")
    if (kept := settings.storage) is not None:
        problems.checked(lambda: storage.parsed(kept, f"{where} storage"), "storage")
    chosen = name or settings.name or (path.stem if known is None else known.default_name(path))
    said = fork or name or settings.name
    problems.checked(lambda: _check_name(said or chosen, by_file=said is None), "name")
    forked = None if fork is None else problems.checked(lambda: _forked(settings, chosen, fork, where), "warm_start")
    if results is not None:
        here.check(forked or settings, path, results, fork or chosen, problems)
    if known is None:
        problems.stop()
    assert known is not None, "without a basis there is a problem"
    known = replace(known, settings=forked or settings)
    known = known.starting(path, None if results is None else results / (fork or chosen), problems)
    shape = _shape(known, where, results is not None, problems)
    assert limits is not None, "with a problem the shape ends in it"
    return _put_together(known, shape, limits, fork or chosen, where)


def _shape(known: Basis, where: str, local: bool, problems: Problems) -> _Shape:
    """What can be said of the search before it is known which knobs act. Raises BadInput with all of `problems`, also
    with those found before; `local`: its data must lie here."""
    settings, model = known.settings, known.model
    at = known.base_name if settings.trainable is None else where
    given = problems.checked(lambda: _full(model, known.given, at), "base")
    if given is None:
        if known.own:
            problems.stop()
        problems.note = _GUESSED
    whole = _full(model, model.documented(), at) if given is None else given
    fitted = problems.checked(lambda: searched_space(model, settings, whole, where), "space", "knobs")
    fixed = {} if fitted is None else fitted[1]
    full = problems.checked(lambda: _full(model, with_values(whole, fixed), where), "space", "knobs")
    native = whole if full is None else full
    length = problems.checked(lambda: _length(known, native, where), "budget", "start")
    further = problems.checked(lambda: _further(settings, model.objective, where), "objectives")
    native = native if length is None else with_values(native, {model.length_key: length.horizon})
    data = problems.checked(lambda: model.parse_data(settings.data or {}, model.parse(native, where), where), "data")
    if length is not None:
        spans = Lengths(length.horizon - known.begins, length.every, model.unit, (0,))
        problems.checked(lambda: settings.early_stopping.rungs(spans), "early_stopping")
    if local and data is not None:
        problems.note, section = "", data
        problems.checked(lambda: here.check_data(section, where), "data")
    problems.stop()
    assert fitted is not None and length is not None and further is not None and data is not None
    return _Shape(native, fitted[0], fixed, length, further, data)


def _acting(known: Basis, shape: _Shape, where: str) -> tuple[Space, dict[str, str], late.Later | None]:
    """The space of the knobs that act, why others are left out, and what of it acts after the start alone."""
    settings, model, origin, native = known.settings, known.model, known.origin, shape.native
    horizon, asked = shape.length.horizon, named(settings)
    alive = fit.acting(model, shape.fitted.space.in_steps(horizon), native, horizon, asked, where)
    left_out = {**shape.fitted.left_out, **alive.left_out}
    later: late.Later | None = None
    if origin is not None:
        origin.check(model, native, known.base_name if known.source is not None else "the base", where)
        begin = late.Start(model, native, known.begins, horizon)
        later = late.acting_after(begin, alive.space, asked, settings.space, where)
        left_out |= later.left_out
    space = alive.space if later is None else later.space
    if not space.knobs:
        _none_left(model, later, known.begins, left_out, where)
    if settings.early_stopping.moves_knobs and not model.changeable.intersection(space.by_path):
        what = f"{settings.early_stopping.kind} needs a searched knob that may change in mid-run, and there is none; "
        may = f"search one of {', '.join(sorted(model.changeable))}, or " if model.changeable else ""
        raise BadInput.of(f"{where} early_stopping", f"{what}{may}choose another kind of early_stopping")
    return space, left_out, later


def _put_together(known: Basis, shape: _Shape, limits: Mapping[str, Any], name: str, where: str) -> Search:
    model, origin, native, fixed = known.model, known.origin, shape.native, shape.fixed
    space, left_out, later = _acting(known, shape, where)
    config, read = model.parse(native, where), model.parse(known.given, known.base_name)
    remarks = tuple(f"{known.base_name}: {said}" for said in read.remarks())
    remarks += (origin.note,) if origin is not None and origin.note is not None else ()
    unknown = unknown_keys(config)
    carried = (f"{known.base_name}: carried through unread: {', '.join(unknown)}",) if unknown else ()
    open_keys = {path: taken for path, taken in unsettled(read) if path not in fixed} if known.source else {}
    return Search(
        name=name,
        source=where,
        settings=known.settings,
        model=model,
        base=native,
        base_source=known.source,
        base_name=known.base_name,
        data=shape.data,
        space=space,
        fixed={**{key: value for key, value in known.trial.items() if key not in space.by_path}, **fixed},
        **asdict(shape.length),
        **limits,
        further=shape.further,
        warnings=(*remarks, *carried),
        filled=filled(model, with_values(known.given, fixed), config, space, {*left_out, *open_keys}),
        unsettled=open_keys,
        left_out=left_out,
        outside=None if known.outside is None else known.outside.model_dump(mode="json"),
        later=later,
        start=None if origin is None else origin.point,
    )


def _none_left(
    model: Model[Any, Any], later: late.Later | None, begins: int, left_out: Mapping[str, str], where: str
) -> NoReturn:
    """Raise BadInput for a space without a knob."""
    why = fit.described(left_out) or ""
    if later is not None and later.early:
        what = f"none acts after {model.unit} {begins} alone, where every trial starts: {', '.join(later.early)} act "
        why = "; ".join(part for part in (f"{what}before it; start earlier, or search others", why) if part)
    raise BadInput.of(f"{where} space", f"no knob is left to search; {why}")


def _length(known: Basis, native: Mapping[str, Any], where: str) -> lengths.Limits:
    settings, model, origin = known.settings, known.model, known.origin
    if origin is not None:
        origin.check_length(int(get(native, model.length_key)), settings.budget.steps is not None, model.unit, where)
    return lengths.lengths(model, settings, native, known.begins, where)


def check_registered(name: str | None) -> None:
    """Raise BadInput for a name that a registered model can't have."""
    if name is not None and not _NAME.fullmatch(name):
        what = f"{name!r} can't name a registered model; use letters, digits, '.', '_' and '-'"
        raise BadInput.of("--register", what)


def _check_name(name: str, by_file: bool) -> None:
    if not _NAME.fullmatch(name):
        what = f"{name!r}{', from the name of the YAML,' * by_file} can't name a folder; use letters, digits, '.', '_' "
        raise BadInput.of("name", f"{what}and '-'{', or give another one by --name' * by_file}")


def _forked(settings: Settings, source: str, fork: str, where: str) -> Settings:
    if settings.warm_start is not None:
        what = f"a search starts from one place; take this out: with --fork it starts from {source} and what that knew"
        raise BadInput.of(f"{where} warm_start", what)
    if fork == source:
        raise BadInput.of("--fork", f"{fork!r} is the search to start from; give the new one another name")
    return settings.model_copy(update={"warm_start": WarmStart(search=source)})


def _full(model: Model[Any, Any], native: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`native` checked, what it omits filled in."""
    return plain(model.parse(native, where))


def _further(settings: Settings, own: Objective, where: str) -> tuple[Goal, ...]:
    """The objectives beside the model's own. Raises BadInput for a metric that a searched knob may enter."""
    goals = [Goal(*item) for given in settings.objectives or () for item in given.items()]
    known = {**own.further, PACE: "min"}
    problems: list[Problem] = []
    if goals and goals[0] != Goal(own.metric, own.mode):
        what = f"the first must be the model's own, {own.metric}: {own.mode}, which decides the verdict"
        problems.append(Problem(f"{where} objectives", f"{what}; got {goals[0].metric}: {goals[0].mode}"))
    for goal in goals[1:]:
        if known.get(goal.metric) != goal.mode:
            choice = ", ".join(f"{metric}: {mode}" for metric, mode in known.items())
            what = f"{goal.metric}: {goal.mode} can't be one; choose of {choice}"
            problems.append(Problem(f"{where} objectives", what))
    if len({goal.metric for goal in goals}) < len(goals):
        problems.append(Problem(f"{where} objectives", "a metric stands there twice"))
    raise_any(problems)
    return tuple(goals[1:])


def _check_tracking(settings: Settings, where: str) -> None:
    """Refuse what no later attempt can make right: an address that names no store, variables that nobody expands."""
    uri, experiment = settings.tracking.uri, settings.tracking.experiment
    place = f"{where} tracking.uri" if uri else "MLFLOW_TRACKING_URI"
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    problems = []
    if uri and (what := unusable(uri)):
        problems.append(Problem(place, f"{mask(uri)!r} {what}"))
    if experiment is not None and (not experiment.strip() or VARIABLE.search(experiment)):
        what = "is no name; environment variables are not expanded here, so write the experiment's name itself"
        problems.append(Problem(f"{where} tracking.experiment", f"{experiment!r} {what}"))
    raise_any(problems)
