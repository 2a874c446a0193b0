"""Simulated decompositions: the physics against closed forms, what is recorded, and the basis against numpy."""

import numpy as np
import pytest

from trainables.sequence_generator import pca
from trainables.sequence_generator.cahn_hilliard import (
    Conditions,
    Solver,
    autocorrelations,
    chemical_potential,
    draw_conditions,
    simulate,
)
from trainables.sequence_generator.generate import Generate, generated, write
from trainables.sequence_generator.layout import COLUMNS, split

STIFFEST = Conditions(concentration=0.5, mobility=2.0, gradient_coefficient=0.5, noise=0.15)


@pytest.mark.parametrize("wave", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("c0", [0.35, 0.5])
def test_small_waves_grow_at_the_rate_of_linear_theory(wave: int, c0: float) -> None:
    """c = c0 + ε cos kx grows as exp(−M k² (f''(c0) + κ k²) t), Cahn 1961."""
    grid, mobility, kappa, epsilon, dt, steps = 32, 1.3, 0.7, 1e-5, 0.01, 400
    k = 2 * np.pi * wave / grid
    x = np.arange(grid)
    start = c0 + epsilon * np.cos(k * x)[:, None] * np.ones(grid)
    end = Solver(mobility, kappa, start, dt).advance(steps)
    curvature = 2 - 12 * c0 + 12 * c0**2
    expected = np.exp(-mobility * k**2 * (curvature + kappa * k**2) * dt * steps)
    amplitude = 2 / grid * (end[:, 0] - c0) @ np.cos(k * x) / epsilon
    assert amplitude == pytest.approx(expected, rel=2e-3)


def test_the_potential_is_the_derivative_of_the_double_well() -> None:
    c, h = np.linspace(-0.2, 1.2, 50), 1e-6
    slope = (((c + h) * (1 - c - h)) ** 2 - ((c - h) * (1 - c + h)) ** 2) / (2 * h)
    assert chemical_potential(c) == pytest.approx(slope, abs=1e-8)


def free_energy(c, gradient_coefficient):
    """∫ f(c) + ½κ|∇c|², which the equation never raises; the gradient spectrally."""
    waves = 2 * np.pi * np.fft.fftfreq(len(c))
    half = 2 * np.pi * np.fft.rfftfreq(len(c))
    spectrum = np.fft.rfft2(c)
    slopes = (np.fft.irfft2(1j * k * spectrum, s=c.shape) for k in (waves[:, None], half))
    return float(np.sum(np.square(c * (1 - c)) + 0.5 * gradient_coefficient * sum(s**2 for s in slopes)))


@pytest.mark.parametrize("conditions", [STIFFEST, draw_conditions(0, 1)])
def test_mass_is_kept_and_energy_falls(conditions: Conditions) -> None:
    fields = simulate(conditions, 32, 60, seed=0, number=1)
    assert fields.mean(axis=(1, 2)) == pytest.approx(np.full(60, conditions.concentration), abs=1e-12)
    energies = [free_energy(field, conditions.gradient_coefficient) for field in fields]
    assert np.diff(energies).max() < 0
    assert fields[-1].std() > 0.2 > fields[0].std()  # it has separated


def test_the_step_is_small_enough() -> None:
    fine = simulate(STIFFEST, 32, 80, seed=0, number=0, dt=0.02)
    usual = simulate(STIFFEST, 32, 80, seed=0, number=0)
    assert np.sqrt(np.mean((usual - fine) ** 2)) < 0.01
    coarser = simulate(STIFFEST, 32, 80, seed=0, number=0, dt=0.05)
    ratio = np.sqrt(np.mean((usual - fine) ** 2) / np.mean((coarser - fine) ** 2))
    assert ratio > 3  # second order in time: half the step, a quarter of the error


def test_autocorrelation_against_shifted_products() -> None:
    fields = np.random.default_rng(0).normal(size=(2, 6, 6)) + 3
    found = autocorrelations(fields).reshape(2, 6, 6)
    for field, shown in zip(fields, found, strict=True):
        z = (field - field.mean()) / field.std()
        direct = np.array([[np.sum(z * np.roll(z, (i - 3, j - 3), (0, 1))) for j in range(6)] for i in range(6)])
        assert shown == pytest.approx(direct / direct.max())
    assert found[:, 3, 3] == pytest.approx(1.0)


def test_a_uniform_field_correlates_with_nothing() -> None:
    assert not autocorrelations(np.full((1, 8, 8), 0.4)).any()


# The basis.


def test_components_against_numpy() -> None:
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(40, 12)) * np.linspace(3, 0.5, 12) + rng.normal(size=12)
    basis = pca.fit(frames, 5)
    _, values, rows = np.linalg.svd(frames - frames.mean(axis=0), full_matrices=False)
    assert basis.explained == pytest.approx(values[:5] ** 2 / (values**2).sum())
    assert np.abs(basis.components @ rows[:5].T) == pytest.approx(np.eye(5), abs=1e-9)
    assert basis.components @ basis.components.T == pytest.approx(np.eye(5))
    assert pca.fit(frames, 12).restore(pca.fit(frames, 12).project(frames)) == pytest.approx(frames)


def test_signs_do_not_depend_on_the_order_of_the_frames() -> None:
    frames = np.random.default_rng(2).normal(size=(30, 8)) * np.arange(8, 0, -1)
    one, other = pca.fit(frames, 5), pca.fit(frames[::-1], 5)
    assert one.components == pytest.approx(other.components)
    largest = np.abs(one.components).argmax(axis=1)
    assert (one.components[np.arange(5), largest] > 0).all()


def test_frames_without_enough_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 5 directions"):
        pca.fit(np.outer(np.arange(20.0), np.ones(9)), 5)
    with pytest.raises(ValueError, match="4 frames have at most 3 principal components"):
        pca.fit(np.ones((4, 9)), 5)


# The files.

SPEC = Generate(simulations=12, grid=16, frames=24, split_seed=42)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated")
    write(SPEC, path, processes=1)
    return path


def values_in(path):
    return np.loadtxt(path, delimiter=",", skiprows=1)


def test_files_have_the_documented_layout(folder) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(
        [*(f"{i}.csv" for i in range(1, 13)), "generated.json", "pca.json", "pca_components.npy", "pca_mean.npy"]
    )
    text = (folder / "3.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == "step,comp_1,comp_2,comp_3,comp_4,comp_5,mobility,gradient_coefficient" == ",".join(COLUMNS)
    assert len(text) == 25 and [line.split(",")[0] for line in text[1:]] == [str(i) for i in range(24)]


def test_every_file_is_written_in_the_one_stored_basis(folder) -> None:
    basis = pca.load(folder)
    for number in range(12):
        conditions = draw_conditions(SPEC.seed, number)
        frames = autocorrelations(simulate(conditions, 16, 24, SPEC.seed, number))
        written = values_in(folder / f"{number + 1}.csv")
        assert written[:, 1:6] == pytest.approx(basis.project(frames), abs=1e-5)
        assert written[:, 6:] == pytest.approx(
            np.tile([conditions.mobility, conditions.gradient_coefficient], (24, 1)), rel=1e-8
        )


def test_the_basis_is_fitted_on_the_training_simulations_alone(folder) -> None:
    train, validation, test = split(12, 42)
    assert sorted([*train, *validation, *test]) == list(range(12))
    frames = [autocorrelations(simulate(draw_conditions(0, int(i)), 16, 24, 0, int(i))) for i in train]
    expected = pca.fit(np.concatenate(frames), 5)
    assert pca.load(folder).components == pytest.approx(expected.components, abs=1e-4)
    assert pca.load(folder).mean == pytest.approx(expected.mean, abs=1e-6)


def test_the_number_of_processes_changes_nothing(folder, tmp_path) -> None:
    write(SPEC, tmp_path, processes=2)
    for path in folder.glob("*.csv"):
        assert values_in(path) == pytest.approx(values_in(tmp_path / path.name), abs=1e-6)


def test_another_seed_gives_other_simulations_and_more_leave_the_others_as_they_are() -> None:
    assert draw_conditions(0, 3) == draw_conditions(0, 3) != draw_conditions(1, 3)
    for number in range(200):
        drawn = draw_conditions(0, number)
        assert 0.3 <= drawn.concentration <= 0.7 and 1 <= drawn.mobility <= 2
        assert 0.5 <= drawn.gradient_coefficient <= 1 and 0.05 <= drawn.noise <= 0.15


def test_generated_data_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = generated(SPEC, processes=1)
    times = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    assert generated(SPEC, processes=1) == first
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == times
    assert generated(Generate(**{**SPEC.model_dump(), "split_seed": 1}), processes=1) != first


def test_a_spec_without_a_split_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="split_seed is None"):
        write(Generate(simulations=12, grid=16, frames=24), tmp_path)
