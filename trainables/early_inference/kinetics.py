"""Urease hydrolysing urea in an unbuffered solution: concentrations and pH over time.

Urea S turns into ammonia N and dissolved carbon dioxide C (all mol/L): dS/dt = −r/2, dN/dt = r, dC/dt = r/2, with
r = v(S, N, pH) · E0 · exp(−k_d t). The kinetic model and its constants are those of Qin & Cabral, "Kinetic studies of
the urease-catalyzed hydrolysis of urea in a buffer-free system", Appl. Biochem. Biotechnol. 49 (1994) 217-240.

The three balances leave one unknown: S = S0 − N/2 and C = N/2. So only N is integrated (LSODA), and S and C follow
from it; the mass balances hold to rounding.

How the enzyme enters: `E0_g_per_L` is the concentration of *active* enzyme, which the model infers and the rate uses.
`grams_urease_powder / volume_L` is the nominal concentration of powder that the experimenter weighed in. The activity
of powder varies between lots and with storage, so neither grams nor volume sets the rate: both are known inputs only.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Rate (Qin & Cabral): Arrhenius factor, substrate saturation and inhibition, product inhibition.
K0 = 0.267  # mol NH3 / (s·g), the pre-factor as it stands
ACTIVATION_ENERGY = 29.1e3  # J/mol
GAS_CONSTANT = 8.314  # J/(mol·K)
KM = 2.56e-3  # mol/L, Michaelis constant
KS = 6.18  # mol/L, substrate inhibition
KP_PH = (6.25, 6.5, 7.0, 7.5, 8.0, 8.5, 8.75, 9.0)
KP = (0.1785, 0.1194, 0.0693, 0.0386, 0.0311, 0.0327, 0.0298, 0.0310)  # mol/L, product inhibition at KP_PH

# Equilibria of the charge balance at 25 °C, mol/L.
KW = 1e-14
KA_NH4 = 5.62e-10
KA1_CO2 = 4.45e-7
KA2_CO2 = 4.69e-11

RTOL, ATOL = 1e-6, 1e-12  # of the solver; ATOL in mol/L (N) and pH (probe)
FIRST_STEP = 1e-6  # s; fixed, since the solver's own choice depends on the times asked for
PH_LOWEST, PH_HIGHEST = -2.0, 16.0  # the charge balance is solved inside
LN10 = math.log(10.0)


@dataclass(frozen=True)
class Conditions:
    """One experiment. Raises ValueError for a value without physical meaning."""

    substrate_mM: float  # noqa: N815 - names and units of the users' files
    grams_urease_powder: float
    temperature_C: float  # noqa: N815
    initial_pH: float  # noqa: N815
    volume_L: float  # noqa: N815
    E0_g_per_L: float  # active enzyme at t = 0
    k_d: float  # 1/s, first-order loss of activity

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low = -273.15 if field.name == "temperature_C" else 0.0
            if not (math.isfinite(value) and value >= low):
                raise ValueError(f"{field.name} is {value}; it must be finite and at least {low}")
        if self.initial_pH > 14.0:
            raise ValueError(f"initial_pH is {self.initial_pH}; it must be at most 14")


@dataclass(frozen=True)
class Trajectory:
    """A simulated experiment; every array is (L,) over the times `t`."""

    t: Floats  # s
    S: Floats  # mol/L, urea
    N: Floats  # mol/L, total ammonia (NH3 + NH4+)
    C: Floats  # mol/L, total dissolved carbonate
    ph: Floats
    probe_ph: Floats  # what a first-order probe shows; equals `ph` for a probe without lag


def product_inhibition(ph: float) -> float:
    """Kp(pH) in mol/L: linear between the table's points, constant outside."""
    if ph <= KP_PH[0]:
        return KP[0]
    if ph >= KP_PH[-1]:
        return KP[-1]
    i = bisect_right(KP_PH, ph)
    share = (ph - KP_PH[i - 1]) / (KP_PH[i] - KP_PH[i - 1])
    return KP[i - 1] + share * (KP[i] - KP[i - 1])


def specific_rate(temperature_c: float) -> Callable[[float, float, float], float]:
    """The rate law at one temperature: a function (S, N, pH) → v in mol NH3 per gram of enzyme and second.

    v = K0·exp(−Ea/RT) · 1/(1 + (Kes1/H)^α + (H/Kes2)^β) · S/(KM + S + S²/KS) · 1/(1 + N/Kp(pH)); concentrations in
    mol/L; a negative S or N (the solver may try one) counts as 0.
    """
    arrhenius = K0 * math.exp(-ACTIVATION_ENERGY / (GAS_CONSTANT * (temperature_c + 273.15)))
    pkes1 = 8.2171 + 0.034286 * temperature_c
    pkes2 = 6.4071 - 0.031714 * temperature_c
    slope1 = LN10 * (0.09086 + 0.011314 * temperature_c)  # α, so that (Kes1/H)^α = exp(slope1·(pH − pKes1))
    slope2 = LN10 * (0.22 + 0.0139 * temperature_c)  # β likewise
    exp = math.exp

    def rate(s: float, n: float, ph: float) -> float:
        s = max(s, 0.0)
        bell = 1.0 + exp(slope1 * (ph - pkes1)) + exp(slope2 * (pkes2 - ph))
        inhibited = 1.0 + max(n, 0.0) / product_inhibition(ph)
        return arrhenius / (bell * inhibited) * s / (KM + s + s * s / KS)

    return rate


def strong_ions(initial_ph: float) -> float:
    """Charge B of the background ions (mol/L) that gives `initial_ph` without ammonia and carbonate."""
    h = math.exp(-LN10 * initial_ph)
    return KW / h - h


def solve_ph(n: float, c: float, strong: float, guess: float) -> float:
    """The pH at which charges balance: H + NH4 + B = OH + HCO3 + 2·CO3, for n, c and B = `strong` in mol/L.

    Newton's method in pH, kept inside a bracket: the balance falls strictly with pH, so it has one root. `guess` only
    saves steps. Good to about 1e-12 in pH. Raises ArithmeticError where there is no root, as for a NaN.
    """
    low, high, ph = PH_LOWEST, PH_HIGHEST, guess
    for _ in range(200):
        h = math.exp(-LN10 * ph)
        acid = h + KA_NH4
        carbonic = h * h + KA1_CO2 * h + KA1_CO2 * KA2_CO2
        charge = h + n * h / acid + strong - KW / h - c * KA1_CO2 * (h + 2.0 * KA2_CO2) / carbonic
        if charge > 0.0:  # too acid
            low = ph
        else:
            high = ph
        slope = (  # d charge / d H
            1.0
            + n * KA_NH4 / (acid * acid)
            + KW / (h * h)
            + c * KA1_CO2 * (h * h + 4.0 * KA2_CO2 * h + KA1_CO2 * KA2_CO2) / (carbonic * carbonic)
        )
        step = charge / (slope * h * LN10)  # d H / d pH = −ln10·H
        if abs(step) < 1e-12:
            return ph + step
        ph += step
        if not low < ph < high:
            ph = 0.5 * (low + high)
    raise ArithmeticError(f"no pH balances the charges of N={n}, C={c}, B={strong} mol/L")


def simulate(conditions: Conditions, t: Floats, probe_lag_s: float = 0.0) -> Trajectory:
    """The experiment at the increasing times `t` (s), of which the first may be 0 or later.

    `probe_lag_s` is the time constant of the pH probe: dp/dt = (pH − p)/lag, p(0) = the initial pH.
    Raises ArithmeticError if the solver gives up.
    """
    from scipy.integrate import odeint  # only who generates data needs it: workers start sooner without

    s0 = conditions.substrate_mM * 1e-3  # mol/L
    enzyme, decay = conditions.E0_g_per_L, conditions.k_d
    rate = specific_rate(conditions.temperature_C)
    strong = strong_ions(conditions.initial_pH)
    last = conditions.initial_pH  # the previous root, as the first guess of the next

    def ph_at(n: float) -> float:
        nonlocal last
        n = max(n, 0.0)
        last = solve_ph(n, 0.5 * n, strong, last)
        return last

    def slopes(y: Floats, time: float) -> tuple[float, ...]:
        n = y.item(0)
        ph = ph_at(n)
        growth = rate(s0 - 0.5 * n, n, ph) * enzyme * math.exp(-decay * time)  # mol/(L·s)
        return (growth, (ph - y.item(1)) / probe_lag_s) if probe_lag_s else (growth,)

    from_zero = t if t[0] == 0.0 else np.concatenate([[0.0], t])
    start = [0.0, conditions.initial_pH] if probe_lag_s else [0.0]
    y, report = odeint(
        slopes, start, from_zero, rtol=RTOL, atol=ATOL, h0=FIRST_STEP, mxstep=20_000, full_output=True
    )  # y: (L or L + 1, 1 or 2)
    if report["message"] != "Integration successful.":
        raise ArithmeticError(f"the solver gave up on {conditions}: {report['message']}")
    y = y[-len(t) :]  # (L, 1 or 2)
    n = np.clip(y[:, 0], 0.0, 2.0 * s0)
    last = conditions.initial_pH
    ph = np.array([ph_at(value) for value in n.tolist()])
    return Trajectory(t=t, S=s0 - 0.5 * n, N=n, C=0.5 * n, ph=ph, probe_ph=y[:, 1].copy() if probe_lag_s else ph)
