// Charts of knobs against scores: parallel coordinates, slices and pairs, all at equal steps.

const knobs = Report.data.knobs;
const knobAt = new Map(knobs.map((knob, index) => [knob.path, index]));
const places = trials.places.map(Report.unpack);
const lower = Report.data.objective.mode === "min";
const FEW = [0.14, 0.28, 0.42, 0.56, 0.7, 0.85, 1]; // groups of ranks that are drawn alike
const MANY = [0.02, 0.06, 0.14, 0.3, 0.5, 0.75, 1];
const SHORT_TITLE = OBJECTIVE_TITLE.length < 32 ? OBJECTIVE_TITLE : Report.plain(Report.data.objective.metric);

let level = Report.data.levels.chosen;

/** Trials that are shown and have a score at the chosen level, worst first, with their share of rank (0 is best). */
function scored() {
  const found = Report.data.levels.all[level];
  if (!found) return [];
  const order = found.values.map((value, i) => [value, i]).sort((a, b) => (lower ? a[0] - b[0] : b[0] - a[0]));
  const last = Math.max(1, order.length - 1);
  return order
    .map(([value, i], rank) => ({ index: Report.indexOf.get(found.trials[i]), value, rank: rank / last }))
    .filter(({ index }) => Report.shown[index] || index === Report.selected)
    .reverse();
}

/** The last part of a path, with as much before it as tells it from the others. */
function short(path) {
  const parts = path.split(".");
  for (let keep = parts[parts.length - 1].length < 8 ? 2 : 1; keep < parts.length; keep++) {
    const name = parts.slice(-keep).join(".");
    if (knobs.filter((knob) => knob.path === name || knob.path.endsWith("." + name)).length === 1) return name;
  }
  return path;
}

function quantiles() {
  const sorted = [...Report.data.levels.all[level].values].sort((a, b) => (lower ? a - b : b - a));
  return [0, 0.25, 0.5, 0.75, 1].map((share) => [1 - share, Report.show(sorted[Math.round(share * (sorted.length - 1))])]);
}

Report.parallelChart = function (colours) {
  const axes = Report.data.axes.map((path) => knobAt.get(path));
  const end = axes.length;
  const all = scored();
  const edges = all.length > 80 ? MANY : FEW;
  const bins = new Map();
  for (const one of all) {
    const bin = one.index === Report.selected ? "chosen" : one.index === baselineIndex ? "documented" : edges.findIndex((edge) => one.rank <= edge);
    if (!bins.has(bin)) bins.set(bin, []);
    bins.get(bin).push(one);
  }
  const keys = [...bins.keys()].filter((key) => typeof key === "number").sort((a, b) => b - a);
  for (const key of ["documented", "chosen"]) if (bins.has(key)) keys.push(key);
  const traces = keys.map((key) => {
    const trace = { type: "scatter", mode: "lines+markers", x: [], y: [], text: [], customdata: [], showlegend: false };
    for (const { index, value, rank } of bins.get(key)) {
      const label = `${about(index)}<br><b>${Report.show(value)}</b>`;
      axes.forEach((knob, x) => push(trace, x, places[knob][index] < 0 ? null : places[knob][index], label, index));
      push(trace, end, 1 - rank, label, index);
      push(trace, null, null, "", index);
    }
    const share = typeof key === "number" ? ((edges[key - 1] || 0) + edges[key]) / 2 : 0;
    const color = key === "chosen" ? colours.text : key === "documented" ? colours.documented : Report.ranked(share);
    const strong = typeof key !== "number";
    trace.line = { color, width: strong ? 3 : key === 0 ? 2.2 : 1.1, dash: key === "documented" ? "dash" : "solid", shape: "linear" };
    trace.marker = { color, size: strong ? 7 : 4 };
    trace.opacity = strong || key === 0 ? 1 : (all.length > 200 ? 0.3 : 0.8) * (1 - 0.5 * share);
    trace.hovertemplate = "%{text}<extra></extra>";
    trace.connectgaps = false;
    if (strong) Object.assign(trace, { showlegend: true, name: key === "documented" ? "documented" : "chosen" });
    return trace;
  });
  const ticks = [...axes.map((knob) => knobs[knob].ticks), all.length ? quantiles() : []];
  const labels = ticks.flatMap((list, x) => list.map(([y, text]) => ({ x, y, text: Report.plain(cut(text, 16)), showarrow: false, xanchor: "left", xshift: 5, font: { size: 10, color: colours.muted }, bgcolor: alpha(colours.ground, 0.72), borderpad: 1 })));
  return {
    traces,
    layout: {
      dragmode: coarse ? false : "select", selectdirection: "any", newselection: { line: { color: colours.text, width: 1 } },
      margin: { l: 16, r: 60, t: 84, b: 12 },
      legend: { orientation: "h", x: 0, y: -0.02, yanchor: "top", bgcolor: "rgba(0,0,0,0)" },
      xaxis: { side: "top", range: [-0.15, end + 0.35], tickvals: [...axes.keys(), end], ticktext: [...axes.map((knob) => Report.plain(cut(short(knobs[knob].path), 22))), "<b>score</b>"], tickangle: -24, showgrid: false, fixedrange: true, showline: false, ticks: "", tickfont: { size: 11, color: colours.text } },
      yaxis: { range: [-0.06, 1.06], visible: false, fixedrange: true },
      shapes: [...axes.keys(), end].map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, line: { color: colours.muted, width: 1 }, layer: "below" })),
      annotations: labels,
    },
  };
};

function cut(text, most) {
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

function alpha(hex, part) {
  return hex + Math.round(part * 255).toString(16).padStart(2, "0");
}

/** A range drawn over an axis becomes conditions in the filter. */
Report.brush = function (element) {
  element.on("plotly_selected", (event) => {
    if (!event || !event.range) return;
    const [x0, x1] = [...event.range.x].sort((a, b) => a - b);
    const [y0, y1] = [...event.range.y].sort((a, b) => a - b);
    const conditions = [];
    Report.data.axes.forEach((path, x) => {
      if (x < x0 || x > x1) return;
      const at = knobAt.get(path);
      const inside = scored().map(({ index }) => index).filter((index) => places[at][index] >= y0 && places[at][index] <= y1);
      const values = inside.map((index) => trials.knobs[at][index]);
      if (!values.length) return;
      const tight = (text) => String(text).replace(/\s/g, "");
      if (knobs[at].choice) conditions.push(`${path}=${[...new Set(values.map(tight))].join("|")}`);
      else conditions.push(`${path}>=${Math.min(...values)}`, `${path}<=${Math.max(...values)}`);
    });
    if (conditions.length) Report.filterBy(conditions.join(" "));
  });
};

function knobAxis(knob, values) {
  const title = Report.plain(short(knob.path));
  if (knob.choice) return { title, tickvals: knob.ticks.map(([place]) => place), ticktext: knob.ticks.map(([, text]) => Report.plain(cut(text, 14))), range: [-0.02, 1.02] };
  // The whole domain, so that what was never tried shows as empty; a documented value may lie outside.
  const ends = [...values, ...knob.ticks.map(([, , number]) => number)].map((number) => (knob.log ? Math.log10(number) : number));
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const range = [low - 0.05 * (high - low), high + 0.05 * (high - low)];
  if (knob.integer || knob.log) return { title, range, type: knob.log ? "log" : "linear", tickvals: knob.ticks.map(([, , number]) => number), ticktext: knob.ticks.map(([, text]) => text) };
  return { title, range, nticks: 6 };
}

function coordinate(at, index) {
  if (trials.knobs[at][index] === null) return null;
  return knobs[at].choice ? places[at][index] : trials.knobs[at][index];
}

/** A range without the worst twentieth of many values, where those lie far out. */
function without(values) {
  if (values.length < 20) return undefined;
  const sorted = [...values].sort((a, b) => (lower ? a - b : b - a));
  const [best, most] = [sorted[0], sorted[Math.floor(0.95 * (sorted.length - 1))]];
  const worst = sorted[sorted.length - 1];
  const room = 0.08 * (most - best);
  return Math.abs(worst - best) > 1.5 * Math.abs(most - best) ? [best - room, most + room].sort((a, b) => a - b) : undefined;
}

const ROLES = [
  ["documented", () => baselineIndex, "diamond", 13],
  ["new", () => winnerIndex, "star", 16],
  ["text", () => Report.selected, "circle-open", 15],
];

Report.sliceChart = function (path) {
  const at = knobAt.get(path);
  return function (colours) {
    const points = scored().filter(({ index }) => coordinate(at, index) !== null);
    const trace = (chosen, color, symbol, size, opacity) => ({
      type: "scatter", mode: "markers", showlegend: false, x: chosen.map(({ index }) => coordinate(at, index)), y: chosen.map(({ value }) => value),
      text: chosen.map(({ index }) => about(index)), marker: { color, symbol, size, opacity, line: { width: 1, color: colours.ground } }, hovertemplate: "%{text}<br><b>%{y:.5g}</b><extra></extra>",
    });
    const traces = [trace(points, colours.other, "circle", points.length > 200 ? 5 : 8, points.length > 200 ? 0.5 : 0.75)];
    for (const [role, which, symbol, size] of ROLES) {
      const own = points.filter(({ index }) => index === which());
      if (own.length) traces.push(trace(own, colours[role], symbol, size, 1));
    }
    return { traces, layout: { margin: { l: 50, r: 10, t: 10, b: 46 }, xaxis: knobAxis(knobs[at], points.map(({ index }) => coordinate(at, index))), yaxis: { title: SHORT_TITLE, nticks: 5, range: without(points.map(({ value }) => value)) } } };
  };
};

Report.pairChart = function ([one, other]) {
  const [a, b] = [knobAt.get(one), knobAt.get(other)];
  return function (colours) {
    const points = scored().filter(({ index }) => coordinate(a, index) !== null && coordinate(b, index) !== null);
    const trace = (chosen, color, symbol, size) => ({
      type: "scatter", mode: "markers", showlegend: false, x: chosen.map(({ index }) => coordinate(a, index)), y: chosen.map(({ index }) => coordinate(b, index)),
      text: chosen.map(({ index, value }) => `${about(index)}<br><b>${Report.show(value)}</b>`), marker: { color, symbol, size, line: { width: 1, color: colours.muted } }, hovertemplate: "%{text}<extra></extra>",
    });
    const traces = [trace(points, points.map(({ rank }) => Report.ranked(rank)), "circle", points.length > 200 ? 6 : 10)];
    for (const [role, which, symbol, size] of ROLES) {
      const own = points.filter(({ index }) => index === which());
      if (own.length) traces.push(trace(own, colours[role], symbol, size));
    }
    return { traces, layout: { margin: { l: 56, r: 10, t: 10, b: 46 }, xaxis: knobAxis(knobs[a], points.map(({ index }) => coordinate(a, index))), yaxis: knobAxis(knobs[b], points.map(({ index }) => coordinate(b, index))) } };
  };
};

/** Fills the choice of the step at which trials are compared. */
Report.startLevels = function (changed) {
  const select = document.getElementById("level");
  Report.data.levels.all.forEach((one, i) => select.add(new Option(`${one.step} (${one.trials.length} trials)`, i, i === level, i === level)));
  select.disabled = Report.data.levels.all.length < 2;
  const note = () => {
    const found = Report.data.levels.all[level];
    document.getElementById("level-note").textContent = found ? "also for the plots knob by knob" : "no two trials have a score at any rung yet";
  };
  note();
  select.addEventListener("change", () => {
    level = Number(select.value);
    note();
    changed();
  });
};
