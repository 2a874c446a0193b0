"""The simulator against closed forms, SciPy's root finder and an independent three-state integration."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import cumulative_trapezoid, solve_ivp
from scipy.optimize import brentq

from trainables.early_inference import kinetics as k
from trainables.early_inference.limits import posterior_share
from trainables.early_inference.measurement import FIXED, RANGES, Measurement, draw_conditions, draw_faults

TYPICAL = k.Conditions(50.0, 0.05, 30.0, 7.0, 0.2, 0.5, 1e-3)
T30 = np.linspace(0.0, 30.0, 100)


def charge(ph, n, c, strong):
    """The charge balance as the text states it, from the acids' dissociation."""
    h = 10.0**-ph
    nh4 = n / (1 + k.KA_NH4 / h)
    hco3 = c / (1 + h / k.KA1_CO2 + k.KA2_CO2 / h)
    co3 = hco3 * k.KA2_CO2 / h
    return h + nh4 + strong - k.KW / h - hco3 - 2 * co3


@given(
    n=st.floats(-9, math.log10(0.5)).map(lambda x: 10.0**x),
    share=st.floats(0, 2),
    initial=st.floats(4, 10),
    guess=st.floats(-1, 15),
)
def test_ph_is_the_root_that_brent_finds(n, share, initial, guess):
    strong, c = k.strong_ions(initial), n * share
    expected = brentq(charge, -2, 16, args=(n, c, strong), xtol=1e-13, rtol=1e-14)
    assert k.solve_ph(n, c, strong, guess) == pytest.approx(expected, abs=1e-8)


@given(initial=st.floats(2, 12), guess=st.floats(0, 14))
def test_without_ammonia_the_ph_is_the_initial_one(initial, guess):
    assert k.solve_ph(0.0, 0.0, k.strong_ions(initial), guess) == pytest.approx(initial, abs=1e-10)


def test_a_balance_without_a_root_is_an_error():
    with pytest.raises(ArithmeticError, match="N=nan"):
        k.solve_ph(math.nan, 0.0, 0.0, 7.0)


def test_product_inhibition_is_linear_inside_and_constant_outside():
    ph = np.linspace(5, 10, 201)
    ours = [k.product_inhibition(p) for p in ph]
    assert ours == pytest.approx(np.interp(ph, k.KP_PH, k.KP), abs=1e-15)
    assert k.product_inhibition(2.0) == 0.1785
    assert k.product_inhibition(12.0) == 0.0310


def bell(ph, temperature):
    """1 + (Kes1/H)^α + (H/Kes2)^β, as the text states it."""
    h, kes1 = 10.0**-ph, 10.0 ** -(8.2171 + 0.034286 * temperature)
    kes2 = 10.0 ** -(6.4071 - 0.031714 * temperature)
    return 1 + (kes1 / h) ** (0.09086 + 0.011314 * temperature) + (h / kes2) ** (0.22 + 0.0139 * temperature)


def test_rate_matches_the_formula_written_out():
    s, n, ph, temperature = 0.03, 0.01, 8.2, 33.0
    expected = 0.267 * math.exp(-29.1e3 / (8.314 * 306.15)) / bell(ph, 33.0) * s / (2.56e-3 + s + s * s / 6.18)
    expected /= 1 + n / np.interp(ph, k.KP_PH, k.KP)
    assert k.specific_rate(temperature)(s, n, ph) == pytest.approx(expected, rel=1e-12)


def test_rate_vanishes_without_substrate_and_saturates_with_it():
    rate = k.specific_rate(30.0)
    assert rate(0.0, 0.0, 7.0) == 0.0
    assert rate(-1e-9, 0.0, 7.0) == 0.0
    assert rate(1e-7, 0.0, 7.0) / rate(1e-8, 0.0, 7.0) == pytest.approx(10, rel=1e-3)  # first order far below KM
    assert rate(0.2, 0.0, 7.0) / rate(0.1, 0.0, 7.0) == pytest.approx(1, abs=0.02)  # saturated
    top = math.sqrt(k.KM * k.KS)  # where S/(KM + S + S²/KS) peaks; beyond, substrate inhibits
    assert rate(top, 0.0, 7.0) > max(rate(top / 3, 0.0, 7.0), rate(top * 3, 0.0, 7.0))


def test_rate_follows_arrhenius_the_ph_bell_and_the_product():
    ratio = k.specific_rate(40.0)(0.05, 0.0, 7.0) / k.specific_rate(25.0)(0.05, 0.0, 7.0)
    arrhenius = math.exp(29.1e3 / 8.314 * (1 / 298.15 - 1 / 313.15))
    assert ratio * bell(7.0, 40.0) / bell(7.0, 25.0) == pytest.approx(arrhenius, rel=1e-12)
    rate = k.specific_rate(30.0)
    assert rate(0.05, 0.0, 7.3) > max(rate(0.05, 0.0, 5.0), rate(0.05, 0.0, 10.0))
    assert rate(0.05, 0.0693, 7.0) == pytest.approx(rate(0.05, 0.0, 7.0) / 2)  # N = Kp halves it
    assert rate(0.05, -1e-12, 7.0) == rate(0.05, 0.0, 7.0)


def three_states(c, t):
    """S, N and C integrated as three unknowns by Radau, with brentq's pH."""
    rate, strong = k.specific_rate(c.temperature_C), k.strong_ions(c.initial_pH)

    def slopes(time, y):
        ph = brentq(charge, 2, 12, args=(max(y[1], 0), max(y[2], 0), strong), xtol=1e-13)
        r = rate(y[0], y[1], ph) * c.E0_g_per_L * math.exp(-c.k_d * time)
        return [-r / 2, r, r / 2]

    return solve_ivp(slopes, (0, t[-1]), [c.substrate_mM / 1e3, 0, 0], "Radau", t, rtol=1e-9, atol=1e-14).y


@pytest.mark.parametrize(
    "conditions",
    [
        TYPICAL,
        dataclasses.replace(TYPICAL, E0_g_per_L=1.25, temperature_C=40.0, k_d=5e-3, initial_pH=6.5),
        dataclasses.replace(TYPICAL, E0_g_per_L=0.05, temperature_C=25.0, k_d=0.0, initial_pH=7.5, substrate_mM=10.0),
        dataclasses.replace(TYPICAL, substrate_mM=0.02, E0_g_per_L=1.25),  # runs out of urea
    ],
)
def test_trajectory_matches_an_independent_stiff_solver(conditions):
    t = np.linspace(0.0, 120.0, 61)
    ours = k.simulate(conditions, t)
    s, n, c = three_states(conditions, t)
    for mine, theirs in ((ours.S, s), (ours.N, n), (ours.C, c)):
        assert mine == pytest.approx(theirs, rel=2e-5, abs=1e-10)
    strong = k.strong_ions(conditions.initial_pH)
    ph = [brentq(charge, 2, 12, args=(max(a, 0), max(b, 0), strong), xtol=1e-13) for a, b in zip(n, c, strict=True)]
    assert ours.ph == pytest.approx(np.array(ph), abs=5e-5)


def test_balances_hold_and_the_curve_starts_at_the_initial_ph():
    for sample in range(50):
        conditions = draw_conditions(1, sample)
        out = k.simulate(conditions, T30, probe_lag_s=2.0)
        s0 = conditions.substrate_mM * 1e-3
        np.testing.assert_allclose(out.S + out.N / 2, s0, rtol=1e-14)
        np.testing.assert_allclose(out.C + out.S, s0, rtol=1e-14)
        assert np.all(np.diff(out.N) > 0)
        assert out.ph[0] == pytest.approx(conditions.initial_pH, abs=1e-10)
        assert out.probe_ph[0] == conditions.initial_pH


def test_decay_only_slows_the_clock():
    """With E0·exp(−k_d·t) the reaction passes the states of one without decay, at time (1 − exp(−k_d·t))/k_d."""
    k_d = 5e-3
    slowed = (1 - np.exp(-k_d * T30)) / k_d
    with_decay = k.simulate(dataclasses.replace(TYPICAL, k_d=k_d), T30)
    without = k.simulate(dataclasses.replace(TYPICAL, k_d=0.0), slowed)
    np.testing.assert_allclose(with_decay.N, without.N, rtol=2e-5, atol=1e-11)


def test_nothing_happens_without_enzyme_or_substrate():
    for changed in ({"E0_g_per_L": 0.0}, {"substrate_mM": 0.0}):
        out = k.simulate(dataclasses.replace(TYPICAL, **changed), T30)
        assert np.all(out.N == 0)
        assert out.ph == pytest.approx(np.full(100, 7.0), abs=1e-10)


def test_probe_lag_is_a_first_order_filter():
    t = np.linspace(0.0, 30.0, 30_001)
    out, tau = k.simulate(TYPICAL, t, probe_lag_s=3.0), 3.0
    # p(t) = e^{−t/τ}·(p0 + ∫ pH·e^{s/τ}/τ ds)
    integral = cumulative_trapezoid(out.ph * np.exp(t / tau) / tau, t, initial=0)
    assert out.probe_ph == pytest.approx(np.exp(-t / tau) * (7.0 + integral), abs=2e-4)
    none = k.simulate(TYPICAL, t)
    assert np.array_equal(none.probe_ph, none.ph)


def test_the_times_asked_for_do_not_change_the_states():
    few = k.simulate(TYPICAL, T30)
    many = k.simulate(TYPICAL, np.union1d(T30, np.linspace(0.0, 120.0, 777)))
    at = np.searchsorted(many.t, T30)
    assert np.array_equal(many.N[at], few.N)
    later = k.simulate(TYPICAL, T30[1:])
    assert np.array_equal(later.N, few.N[1:])


@pytest.mark.parametrize(
    ("name", "value"), [("substrate_mM", -1.0), ("k_d", math.nan), ("initial_pH", 14.5), ("temperature_C", -300.0)]
)
def test_conditions_without_meaning_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        dataclasses.replace(TYPICAL, **{name: value})


def test_drawn_conditions_fill_their_ranges_evenly():
    drawn = [draw_conditions(3, sample) for sample in range(400)]
    for name, (low, high) in RANGES.items():
        values = np.array([getattr(c, name) for c in drawn])
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert {c.volume_L for c in drawn} == {FIXED["volume_L"]}


def test_thirty_seconds_tell_e0_and_hardly_k_d():
    shares = {}
    full = Measurement(offset_max_ph=0.05, drift_max_ph_per_s=5e-5, probe_lag_max_s=5.0)
    for name, measurement in (("noise", Measurement()), ("full", full)):
        each = [
            posterior_share(draw_conditions(0, i), draw_faults(measurement, 0, i), measurement, T30) for i in range(24)
        ]
        shares[name] = np.mean(each, axis=0)  # (2,) E0, k_d
    assert shares["noise"][0] < 0.03
    assert 0.4 < shares["noise"][1] < 0.75
    assert 0.02 < shares["full"][0] < 0.1
    assert 0.8 < shares["full"][1] < 0.98


def test_the_limit_needs_noise():
    measurement = Measurement(noise_sd_ph=0.0)
    with pytest.raises(ValueError, match="noise_sd_ph is 0"):
        posterior_share(TYPICAL, draw_faults(measurement, 0, 0), measurement, T30)
