"""Spinodal decomposition: the Cahn–Hilliard equation on a periodic square, and what is recorded of each frame.

∂c/∂t = M ∇²μ,  μ = f'(c) − κ ∇²c,  f = c²(1 − c)²  (Cahn & Hilliard, J. Chem. Phys. 28, 1958). Lengths are in grid
spacings, so that interfaces of the model's κ, √κ wide, are resolved by a grid of any size.

Solver: Fourier in space (Chen & Shen, Comput. Phys. Commun. 108, 1998); in time the stiff fourth derivative implicitly
and the rest explicitly, both of second order (SBDF2 of Ascher, Ruuth & Wetton, SIAM J. Numer. Anal. 32, 1995). A first
order scheme of the same cost lags so far behind that frames show another pattern.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trainables.seeding import stream

Array: TypeAlias = NDArray[np.float64]

STEP = 0.1  # time units: stable over the whole range below, and c is right to .01 (rms) after 151 intervals
INTERVAL = 1.0  # time units from frame to frame: the fastest growing wave takes 1 to 15 to grow e-fold

CONCENTRATION = (0.3, 0.7)  # mean c0
MOBILITY = (1.0, 2.0)  # M
GRADIENT_COEFFICIENT = (0.5, 1.0)  # κ
FLAT = 1e-12  # a spread of c below it is rounding
NOISE = (0.05, 0.15)  # amplitude of the first fluctuations


@dataclass(frozen=True)
class Conditions:
    """What a simulation starts from; the model sees the mobility and the gradient coefficient."""

    concentration: float
    mobility: float
    gradient_coefficient: float
    noise: float


def draw_conditions(seed: int, number: int) -> Conditions:
    """The conditions of simulation `number`, uniform over the documented ranges."""
    rng = stream(seed, number, 0)
    c0, mobility, kappa, noise = (
        float(rng.uniform(*bounds)) for bounds in (CONCENTRATION, MOBILITY, GRADIENT_COEFFICIENT, NOISE)
    )
    return Conditions(c0, mobility, kappa, noise)


def first_field(conditions: Conditions, grid: int, seed: int, number: int) -> Array:
    """The field (grid, grid) at time 0: the mean concentration and noise uniform within ± its amplitude, of mean 0."""
    noise = stream(seed, number, 1).uniform(-1.0, 1.0, (grid, grid))
    field: Array = conditions.concentration + conditions.noise * (noise - noise.mean())
    return field


class Solver:
    """Steps of `dt` time units for one mobility and one gradient coefficient.

    (3cⁿ⁺¹ − 4cⁿ + cⁿ⁻¹)/2dt = M∇²(2f'(cⁿ) − f'(cⁿ⁻¹)) − Mκ∇⁴cⁿ⁺¹; the first step, which has no cⁿ⁻¹, is Euler's.
    """

    def __init__(self, mobility: float, gradient_coefficient: float, field: Array, dt: float = STEP) -> None:
        """`field`: c (grid, grid) at time 0."""
        grid = len(field)
        waves = 2 * np.pi * np.fft.fftfreq(grid)  # per grid spacing
        half = 2 * np.pi * np.fft.rfftfreq(grid)
        k2 = waves[:, None] ** 2 + half**2  # (grid, grid // 2 + 1)
        stiff = mobility * gradient_coefficient * k2**2
        self._shape = field.shape
        self._mobile = -2 * dt * mobility * k2
        self._implicit = 1.0 / (3.0 + 2 * dt * stiff)
        self._before = scipy.fft.rfft2(field)
        self._force_before = self._force(field)
        self._spectrum = (self._before + 0.5 * self._force_before) / (1.0 + dt * stiff)
        self._unused = True  # the first step has been taken, but not been asked for

    def _force(self, field: Array) -> NDArray[np.complex128]:
        force: NDArray[np.complex128] = scipy.fft.rfft2(chemical_potential(field), overwrite_x=True)
        force *= self._mobile
        return force

    def advance(self, steps: int) -> Array:
        """The field (grid, grid) after `steps` more steps, at least 1; its mean stays what it is."""
        field = self._field()
        for _ in range(steps - self._unused):
            force = self._force(field)
            after = 4 * self._spectrum  # in place from here on: half of a step's time is its passes over memory
            after -= self._before
            after -= self._force_before
            after += force
            after += force
            after *= self._implicit
            self._before, self._spectrum, self._force_before = self._spectrum, after, force
            field = self._field()
        self._unused = False
        return field

    def _field(self) -> Array:
        field: Array = scipy.fft.irfft2(self._spectrum, s=self._shape)
        return field


def chemical_potential(c: Array) -> Array:
    """f'(c) of the double well c²(1 − c)²: 2c(1 − c)(1 − 2c) = ((4c − 6)c + 2)c."""
    potential: Array = 4.0 * c
    potential -= 6.0
    potential *= c
    potential += 2.0
    potential *= c
    return potential


def simulate(conditions: Conditions, grid: int, frames: int, seed: int, number: int, dt: float = STEP) -> Array:
    """Fields (frames, grid, grid), an interval apart.

    The first is recorded one interval after the start: white noise itself has the same autocorrelation everywhere, so
    it would say nothing about the simulation that is to be predicted from it.
    """
    start = first_field(conditions, grid, seed, number)
    solver = Solver(conditions.mobility, conditions.gradient_coefficient, start, dt)
    shown = np.empty((frames, grid, grid))
    for frame in range(frames):
        shown[frame] = solver.advance(round(INTERVAL / dt))
    return shown


def autocorrelations(fields: Array) -> Array:
    """Each field's autocorrelation, flattened: (n, grid, grid) → (n, grid²).

    Standardised, by FFT (Wiener–Khinchin), zero shift moved to the middle, divided by its maximum, which lies there. A
    uniform field correlates with nothing: 0 everywhere.
    """
    centred = fields - fields.mean(axis=(1, 2), keepdims=True)
    spread = fields.std(axis=(1, 2), keepdims=True)
    standard = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > FLAT)
    power = np.square(np.abs(scipy.fft.rfft2(standard)))
    correlation = np.fft.fftshift(scipy.fft.irfft2(power, s=fields.shape[1:]), axes=(1, 2))
    largest = correlation.max(axis=(1, 2), keepdims=True)
    scaled = np.divide(correlation, largest, out=np.zeros_like(correlation), where=largest > 0)
    flat: Array = scaled.reshape(len(fields), -1)  # (n, grid, grid) → (n, grid²)
    return flat
