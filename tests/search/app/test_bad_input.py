"""What a user gets wrong: exit code 2, one screen that says what and where, and nothing written."""

from pathlib import Path

import pytest

from search.run import main
from tests.search.app.conftest import Refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # An unknown key at any depth.
        (["budgt=1"], ["search.yaml budgt: unknown key; did you mean 'budget'?"]),
        (["budget.trails=1"], ["search.yaml budget.trails: unknown key; did you mean 'trials'?"]),
        (["early_stopping={kind: asha, first_rug: 3}"], ["early_stopping.first_rug: ", "did you mean 'first_rung'?"]),
        (["data.generate.sampels=1"], ["data", "generate.sampels: unknown key; did you mean 'samples'?"]),
        (["data.generate.measurement={noise_sd: 1}"], ["measurement.noise_sd: ", "did you mean 'noise_sd_ph'?"]),
        (["space.lr={flot: [0, 1]}"], ["space.lr.flot: unknown key; did you mean 'float'?"]),
        (["model=early_inferenc"], ["model: no model is called 'early_inferenc'; did you mean 'early_inference'?"]),
        # A knob that nothing reads.
        (["knobs=null", "space.output_dir={choice: [a, b]}"], ["space.output_dir: can't be searched: it says where"]),
        (["knobs=null", "space.epochs={int: [1, 9]}"], ["space.epochs: can't be searched", "budget"]),
        (["knobs=null", "space.lrr={float: [0, 1]}"], ["space.lrr: unknown key; did you mean 'lr'?"]),
        (["knobs=null", "space.my_note={choice: [a, b]}"], ["space.my_note: early_inference does not read this key"]),
        (["knobs=[lr, batchsize]"], ["knobs: the space has no knob 'batchsize'; did you mean 'batch_size'?"]),
        # Domains that can't be.
        (["space.lr={float: [1e-2, 1e-4]}"], ["space.lr.float[0]: the lower end 0.01 is above the upper end 1e-4"]),
        (["space.lr={float: [0, 1], log: true}"], ["space.lr.float[0]: with log the lower end must be above 0, got 0"]),
        (["space.batch_size={choice: []}"], ["space.batch_size.choice: got an empty list", "at least 1 value"]),
        (
            ["space.lr={float: [0.1, 2.0]}"],
            ["search.yaml space.lr: ", "drawn configs are refused", "less than or equal to 1, got 1."],
        ),
        (
            ["knobs=[tcn_channels]", "space={tcn_channels: {choice: [[4], [0, -5]]}}"],
            ["search.yaml space.tcn_channels: ", "drawn configs are refused", "tcn_channels.0: ", "got 0"],
        ),
        # Entries without effect.
        (["space.tcn_dropout={float: [0, 0.3]}"], ["search.yaml space.tcn_dropout: not in knobs", "add it there"]),
        (
            ["knobs=[lr, target_variance]", "space={use_uncertainty: false}"],
            ["search.yaml target_variance: never acts: it needs use_uncertainty to be true, which is false"],
        ),
        # Words of other tools.
        (["space.lr={min: 1e-4, max: 1e-2}"], ["space.lr: min, max: ", "{float: [1e-4, 0.01]}"]),
        (
            ["space.lr={distribution: log_uniform_values, min: 1e-4, max: 1e-2}"],
            ["space.lr: distribution, min, max: ", "{float: [1e-4, 0.01], log: true}"],
        ),
        (["space.batch_size={values: [32, 64]}"], ["space.batch_size: values: ", "{choice: [32, 64]}"]),
        (["space.lr=tune.loguniform(1e-4, 1e-2)"], ["space.lr: ", "{float: [1e-4, 0.01], log: true}"]),
        # Tracking that can never work.
        (["tracking.uri=${MLFLOW_X}"], ["search.yaml tracking.uri: ", "variable", "MLFLOW_TRACKING_URI"]),
        (["tracking.uri=htp://mlflow:5000"], ["search.yaml tracking.uri: ", "'htp:'", "http(s)://HOST:PORT"]),
        (["tracking.uri=./mlruns"], ["search.yaml tracking.uri: ", "folder", "sqlite:///FILE"]),
        (["tracking.uri=file:///"], ["search.yaml tracking.uri: ", "folder", "sqlite:///FILE"]),
        ([f"tracking.uri=sqlite:///{'x' * 5000}"], ["x…: is longer than a path may be on this system"]),
        ([f"warm_start={{search: {'x' * 5000}}}"], ["x…: is longer than a path may be on this system"]),
        ([f"start={{checkpoint: {'x' * 5000}}}"], ["x…: is longer than a path may be on this system"]),
        (["tracking.experiment=$USER"], ["search.yaml tracking.experiment: ", "not expanded"]),
        # Conditions.
        (["space.lr={when: {batchsize: 32}}"], ["space.lr.when.batchsize: unknown key; did you mean 'batch_size'?"]),
        (
            ["space.lr={when: {batch_size: 32}}", "space.batch_size={when: {lr: 1e-3}}"],
            ["when: conditions in a circle: ", "lr -> batch_size -> lr"],
        ),
        (["space.lr={when: {batch_size: 33}}"], ["space.lr.when.batch_size: 33 is never taken by 'batch_size'"]),
        # Rungs and evaluations.
        (["early_stopping={kind: asha, first_rung: 30}"], ["first_rung is 30; it must lie below steps 18"]),
        (
            ["early_stopping={kind: asha, first_rung: 3}", "budget.evaluate_every=2"],
            ["first_rung is 3, no multiple of evaluate_every 2; set it to 4"],
        ),
        (["budget.evaluate_every=4"], ["budget.evaluate_every: 4 epochs does not divide budget.steps, 18", "try 3"]),
        (["budget.steps=3000 steps"], ["budget.steps: this model counts in epochs: write '3000 epochs'"]),
        (["budget.wall=soon"], ["budget.wall: expected a time above zero such as 90s", "'soon'"]),
        (["budget.trials=0"], ["budget.trials: input should be greater than or equal to 1, got 0"]),
        # --set itself.
        (["budget.trials"], ["--set budget.trials: expected KEY=VALUE"]),
        (["=3"], ["--set =3: expected KEY=VALUE"]),
        (["budget..trials=3"], ["--set budget..trials=3: expected KEY=VALUE with a dotted key"]),
        (["budget.trials=[1"], ["--set budget.trials=[1: not valid YAML line 1"]),
        (["model.name=x"], ["--set model.name: model is 'early_inference', which has no keys below it"]),
        # Data that a search can't be about.
        (["data={}"], ["data: expected one of generate and data_dir, got neither"]),
        (["data.generate.samples=1"], ["generate.samples: input should be greater than or equal to 2, got 1"]),
        (["data.generate.prefix_lengths=[10]"], ["data.generate.prefix_lengths", "holds 10 s", "prefix_length is 30"]),
    ],
)
def test_a_bad_key_or_value(refused: Refused, words: list[str], told: list[str]) -> None:
    message = refused(*(part for word in words for part in ("--set", word)))
    assert all(text in message for text in told), message


@pytest.mark.parametrize(
    ("stopping", "told"),
    [
        ("{kind: median, grace: 18}", "grace is 18; it must lie below steps 18"),
        ("{kind: median, grace: 3 steps}", "early_stopping.grace: this model counts in epochs"),
        ("{kind: hyperband, reduction: 19}", "reduction is 19; it must be at most steps 18"),
        ("{kind: pbt, perturb_every: 18}", "perturb_every is 18; it must lie below steps 18"),
    ],
)
def test_options_that_rays_schedulers_can_not_work_with(refused: Refused, stopping: str, told: str) -> None:
    message = refused("--set", f"early_stopping={stopping}")
    assert message.startswith("error: early_stopping") and told in message


def test_population_based_training_without_a_knob_that_may_change(refused: Refused) -> None:
    message = refused("--set", "early_stopping={kind: pbt}", "--set", "knobs=[warmup_epochs]")
    assert "error: search.yaml early_stopping: " in message and "may change in mid-run" in message


def test_an_interval_of_population_based_training_that_misses_evaluations(refused: Refused) -> None:
    message = refused("--set", "early_stopping={kind: pbt, perturb_every: 3}", "--set", "budget.evaluate_every=2")
    assert "early_stopping.perturb_every: 3 is no multiple of evaluate_every 2" in message


@pytest.mark.parametrize(
    "uri", ["${MLFLOW_X}", "htp://mlflow:5000", "./mlruns", "file:///tmp/x", "http://", "sqlite:///."]
)
def test_a_tracking_variable_that_can_never_work(refused: Refused, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for words in ([], ["--plan"]):
        message = refused(*words)
        assert message.startswith(f"error: MLFLOW_TRACKING_URI: {uri!r} ")


@pytest.mark.parametrize("folder", ["r%20y", "r?mode=ro"])
def test_results_in_a_folder_that_mlflow_reads_as_another(refused: Refused, tmp_path: Path, folder: str) -> None:
    message = refused("--results", str(tmp_path / folder), "--plan")
    assert message.startswith(f"error: {folder}: MLflow keeps no database in a folder with ")


def test_several_problems_are_told_at_once(refused: Refused) -> None:
    wrong = [
        "space.lr={float: [1, 0]}",
        "space.batch_size={choice: []}",
        "space.tcn_dropout={float: [0, 1], log: true}",
    ]
    message = refused(*(part for word in wrong for part in ("--set", word)))
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_mistakes_that_have_nothing_to_do_with_each_other_are_told_in_one_round(
    refused: Refused, tmp_path: Path, plan: list[str]
) -> None:
    (tmp_path / "search.yaml").write_text(
        "model: early_inference\nbase: gone.yaml\nknobs: [lr, batchsize]\ndata: {data_dir: ./not/there}\n"
        "budget: {trials: 9, steps: 18 epochs, evaluate_every: 4, wall: soon}\nsampler: {kind: forrest}\n"
        "early_stopping: {kind: asha, first_rug: 3}\ntracking: {uri: ./mlruns}\nstorage: ftp://there/x\n"
        "trial_timeout: never\nwarm_start: {search: nowhere}\nnotify: {webhook: NO_SUCH_VARIABLE}\nnmae: x\n"
    )
    message = refused(*plan)
    for told in (
        "gone.yaml: can't be read",
        "search.yaml knobs: the space has no knob 'batchsize'; did you mean 'batch_size'? (held against the documented",
        "search.yaml data.data_dir: ",
        "not/there: no such folder",
        "search.yaml budget.wall: expected a time",
        "search.yaml budget.evaluate_every: 4 epochs does not divide budget.steps, 18",
        "search.yaml sampler.kind: ",
        "search.yaml early_stopping.first_rug: unknown key",
        "search.yaml tracking.uri: './mlruns' is a folder",
        "search.yaml storage: ftp:// can't be used",
        "search.yaml trial_timeout: ",
        "NO_SUCH_VARIABLE is not set",
        "search.yaml nmae: unknown key; did you mean 'name'?",
    ):
        assert told in message, f"{told}\n{message}"
    assert len(message.splitlines()) == 12


def test_a_missing_search_to_start_from_is_told_by_the_plan(refused: Refused) -> None:
    wrong = ("--set", "warm_start={search: nowhere}", "--set", "data={data_dir: ./gone}", "--set", "space.lr=[1]")
    message = refused("--plan", *wrong)
    assert "results/nowhere: there is no such search to start from" in message
    assert "gone: no such folder" in message and "space.lr" in message


def test_many_problems_fit_on_one_screen(refused: Refused) -> None:
    message = refused(*(part for n in range(60) for part in ("--set", f"key_{n}=1")))
    assert message.splitlines()[-1] == "… and 40 more"


def test_a_seed_below_zero(refused: Refused) -> None:
    assert "sampler.seed: input should be greater than or equal to 0, got -1" in refused("--seed", "-1")


# Names of searches.


def test_a_search_that_does_not_exist_can_not_be_resumed(tmp_path: Path, refused: Refused) -> None:
    assert "results/s: there is no search to resume" in refused("--name", "s", "--resume")
    assert not (tmp_path / "results").exists()


def test_results_that_are_a_file(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "results").write_text("")
    assert "results: is a file, where a folder is needed" in refused("--name", "s")


@pytest.mark.parametrize("words", [[], ["a.yaml", "--seed", "x"], ["a.yaml", "--nmae", "x"]])
def test_words_that_the_command_does_not_know(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and "usage: python -m search.run" in capsys.readouterr().err
