// What every page shares: its data, packed numbers, colours by theme, and text that is shown as it is.

const Report = { data: JSON.parse(document.getElementById("report-data").textContent) };
window.Report = Report;

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };

/** The numbers in what Python's `packed` wrote. */
Report.unpack = function (packed) {
  const text = atob(packed.bytes);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new KINDS[packed.kind](bytes.buffer);
};

/** Text for a chart: Plotly reads a few tags, and a name from a config must not become one. */
Report.plain = function (text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
};

/** A number to four digits; other values as they are. */
Report.show = function (value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0 || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(3).replace(/\.?0*e\+?/, "e") : String(Number(value.toPrecision(4)));
};

/** Seconds as people read them. */
Report.time = function (seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

const THEMES = ["auto", "light", "dark"];
const systemDark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;

Report.dark = function () {
  if (printing) return false;
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || (theme === "auto" && systemDark.matches);
};

Report.colours = () => Report.data.palette[Report.dark() ? "dark" : "light"];

/** The colour of a share from 0 (best) to 1 (worst): what is best stands out on either ground. */
Report.ranked = function (share) {
  const scale = Report.data.palette.scale;
  const at = Report.dark() ? 1 - 0.85 * share : 0.8 * share;
  let upper = scale.findIndex(([place]) => place >= at);
  if (upper < 1) upper = 1;
  const [low, from] = scale[upper - 1];
  const [high, to] = scale[upper];
  const part = (at - low) / (high - low);
  const mixed = [1, 3, 5].map((i) => {
    const a = parseInt(from.slice(i, i + 2), 16);
    return Math.round(a + part * (parseInt(to.slice(i, i + 2), 16) - a));
  });
  return `rgb(${mixed.join(",")})`;
};

function storeTheme(theme) {
  try {
    localStorage.setItem("schedule-search-theme", theme);
  } catch {
    // A page opened from a file may have no storage; the choice then holds until it is closed.
  }
}

function storedTheme() {
  try {
    return localStorage.getItem("schedule-search-theme");
  } catch {
    return null;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  const named = { auto: "as the system", light: "light", dark: "dark" }[theme];
  button.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
  button.setAttribute("aria-label", `Colour theme: ${named}. Change it`);
}

Report.startTheme = function (redraw) {
  setTheme(THEMES.includes(storedTheme()) ? storedTheme() : "auto");
  document.getElementById("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    setTheme(next);
    storeTheme(next);
    redraw();
  });
  systemDark.addEventListener("change", redraw);
};

/** Calls `redraw` before the page is printed, and after. */
Report.startPrint = function (redraw) {
  const set = (now) => {
    if (printing === now) return;
    printing = now;
    redraw();
  };
  addEventListener("beforeprint", () => set(true));
  addEventListener("afterprint", () => set(false));
  matchMedia("print").addEventListener("change", (event) => set(event.matches));
  document.getElementById("print").addEventListener("click", () => print());
};

Report.printing = () => printing;
