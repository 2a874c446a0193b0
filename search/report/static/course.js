// Charts over steps and time: best so far, learning curves, schedules, importance, workers.

const curve = {
  starts: Report.unpack(Report.data.curves.starts),
  steps: Int32Array.from(Report.unpack(Report.data.curves.steps), (step) => step * Report.data.curves.every),
  values: Report.unpack(Report.data.curves.values),
};
const objective = Report.data.objective;
const OBJECTIVE_TITLE = Report.plain(objective.metric) + (objective.unit === objective.metric ? "" : ` (${Report.plain(objective.unit)})`);
const VALUE_RANGE = Report.data.range || undefined;
const winnerIndex = Report.indexOf.get(Report.data.winner);
const baselineIndex = Report.indexOf.get(Report.data.baseline);
const abouts = new Map();

function about(index) {
  if (!abouts.has(index)) abouts.set(index, Report.about(index));
  return abouts.get(index);
}

Report.bestChart = function (colours) {
  const against = document.querySelector("input[name=against]:checked").value;
  const { best, ends, whole, baseline } = Report.data.course;
  const scale = against === "seconds" && whole.seconds > 600 ? 60 : 1;
  const along = (points) => points[against].map((x) => x / scale);
  const status = ends.trial.map((number) => trials.status[Report.indexOf.get(number)]);
  const traces = [
    {
      type: "scatter", mode: "markers", name: "a trial's end", x: along(ends), y: ends.value,
      marker: { size: 7, color: status.map((one) => colours[one] || colours.other), line: { width: 0 } },
      text: ends.trial.map((number) => about(Report.indexOf.get(number))), customdata: ends.length,
      hovertemplate: `%{text}<br><b>%{y:.5g}</b> after %{customdata} ${Report.data.unit}s<extra></extra>`,
    },
  ];
  if (best.value.length) {
    const last = best.value.length - 1;
    traces.push({
      type: "scatter", mode: "lines+markers", name: "best trained in full", line: { shape: "hv", color: colours.new, width: 3 },
      marker: { size: [...best.value.map(() => 8), 0] },
      x: [...along(best), whole[against] / scale], y: [...best.value, best.value[last]],
      text: [...best.trial, best.trial[last]],
      hovertemplate: "best so far: <b>%{y:.5g}</b>, trial %{text}<extra></extra>",
    });
  }
  if (baseline !== null) {
    traces.push({
      type: "scatter", mode: "lines", name: "documented", x: [0, whole[against] / scale], y: [baseline, baseline],
      line: { color: colours.documented, width: 2, dash: "dash" }, hovertemplate: "documented: <b>%{y:.5g}</b><extra></extra>",
    });
  }
  const time = scale === 60 ? "minutes of searching" : "seconds of searching";
  return { traces, layout: { xaxis: { title: against === "steps" ? `${Report.data.unit}s trained by all trials` : time, rangemode: "tozero" }, yaxis: { title: OBJECTIVE_TITLE, range: VALUE_RANGE } } };
};

function groupOf(index) {
  if (trials.kind[index] !== "search") return "confirm";
  return { completed: "completed", stopped: "stopped", diverged: "diverged", failed: "failed" }[trials.status[index]] || "going on";
}

function push(trace, x, y, text, index) {
  trace.x.push(x);
  trace.y.push(y);
  trace.text.push(text);
  trace.customdata.push(index);
}

function curvesOf(indices) {
  const found = { x: [], y: [], text: [], customdata: [] };
  for (const index of indices) {
    const label = about(index);
    for (let at = curve.starts[index]; at < curve.starts[index + 1]; at++) push(found, curve.steps[at], curve.values[at], label, index);
    push(found, null, null, "", index);
  }
  return found;
}

Report.curvesChart = function (colours) {
  const looks = {
    stopped: [colours.stopped, "stopped early"], "going on": [colours.other, "going on"], completed: [colours.other, "trained in full"],
    diverged: [colours.diverged, "diverged"], failed: [colours.failed, "failed"], confirm: [colours.confirm, "confirmation"],
  };
  const groups = new Map(Object.keys(looks).map((name) => [name, []]));
  const marked = [baselineIndex, winnerIndex];
  for (let i = 0; i < trials.number.length; i++) {
    if (Report.shown[i] && !marked.includes(i) && i !== Report.selected) groups.get(groupOf(i)).push(i);
  }
  const hover = `%{text}<br>${Report.data.unit} %{x}: <b>%{y:.5g}</b><extra></extra>`;
  const traces = [];
  for (const [name, indices] of groups) {
    if (!indices.length) continue;
    const [color, label] = looks[name];
    const thin = indices.length > 200 ? 0.35 : indices.length > 60 ? 0.6 : 0.9;
    traces.push({ type: "scatter", mode: "lines", name: label, ...curvesOf(indices), line: { color, width: indices.length > 200 ? 0.7 : 1.3 }, opacity: thin, hovertemplate: hover });
    if (name === "stopped" || name === "diverged") {
      const ends = indices.map((i) => curve.starts[i + 1] - 1).filter((at, i) => at >= curve.starts[indices[i]]);
      traces.push({ type: "scatter", mode: "markers", x: ends.map((at) => curve.steps[at]), y: ends.map((at) => curve.values[at]), marker: { color, size: 5, symbol: name === "stopped" ? "circle" : "x" }, showlegend: false, hoverinfo: "skip" });
    }
  }
  const strong = [[baselineIndex, colours.documented, "documented"], [winnerIndex, colours.new, `trial ${Report.data.winner} (new)`], [Report.selected, colours.text, "chosen"]];
  for (const [index, color, name] of strong) {
    if (index === undefined || index === null || (!Report.shown[index] && index !== Report.selected)) continue;
    const label = name === "chosen" ? `trial ${trials.number[index]} (chosen)` : name;
    traces.push({ type: "scatter", mode: "lines+markers", name: label, ...curvesOf([index]), line: { color, width: 3, dash: name === "documented" ? "dash" : "solid" }, marker: { size: 5 }, hovertemplate: hover });
  }
  const marks = Report.data.rungs.slice(0, -1).map((step) => Report.mark(step, ` rung ${step}`, colours));
  return {
    traces,
    layout: {
      xaxis: { title: `${Report.data.unit} of a trial`, range: [0, Report.data.horizon * 1.02] },
      yaxis: { title: OBJECTIVE_TITLE, range: VALUE_RANGE },
      shapes: marks.map((mark) => mark.shape),
      annotations: marks.map((mark) => mark.label),
    },
  };
};

Report.scheduleChart = function (course, first) {
  const steps = [...Report.data.schedule.steps, Report.data.horizon];
  const held = (packed) => {
    const values = Array.from(Report.unpack(packed));
    return [...values, values[values.length - 1]];
  };
  return function (colours) {
    const traces = [];
    for (const [packed, name, color, dash, width] of [[course.documented, "documented", colours.documented, "dash", 2], [course.new, "new", colours.new, "solid", 3]]) {
      if (packed) traces.push({ type: "scatter", mode: "lines", name, x: steps, y: held(packed), line: { shape: "hv", color, dash, width }, hovertemplate: `${name}: <b>%{y:.4g}</b> from ${Report.data.unit} %{x}<extra></extra>`, showlegend: first });
    }
    for (const [points, name, color] of [[course.seenDocumented, "documented, as it ran", colours.documented], [course.seenNew, "new, as it ran", colours.new]]) {
      if (points.length) traces.push({ type: "scatter", mode: "markers", name, x: points.map(([step]) => step - 0.5), y: points.map(([, value]) => value), marker: { color, size: 6, symbol: "circle-open" }, hovertemplate: `${name}: <b>%{y:.4g}</b><extra></extra>`, showlegend: false });
    }
    const title = { text: `<b>${Report.plain(course.name)}</b>`, x: 0, xref: "container", xanchor: "left", y: 0.98, yanchor: "top", font: { size: 13 } };
    return {
      traces,
      layout: {
        title, margin: { l: 50, r: 10, t: first ? 50 : 30, b: 38 },
        legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)" },
        xaxis: { title: Report.data.unit, range: [0, Report.data.horizon] },
        yaxis: { type: course.log ? "log" : "linear", rangemode: course.log ? "normal" : "tozero", exponentformat: "power", nticks: 5, dtick: course.log ? 1 : undefined },
      },
    };
  };
};

Report.importanceChart = function (colours) {
  const found = Report.data.importance;
  const names = found.knobs.map((path) => Report.plain(path)).reverse();
  const bar = (values, name, color, xaxis) => ({
    type: "bar", orientation: "h", name, y: names, x: [...values].reverse(), marker: { color }, xaxis,
    hovertemplate: `%{y}<br>${name}: <b>%{x:.3f}</b><extra></extra>`,
  });
  const narrow = innerWidth < 600;
  return {
    traces: [bar(found.pedAnova, "PED-ANOVA", colours.new, "x"), bar(found.permutation, "permutation", colours.confirm, narrow ? "x" : "x2")],
    layout: {
      height: 90 + names.length * (narrow ? 40 : 26),
      barmode: "group", bargap: 0.35,
      margin: { l: 8, r: 14, t: 34, b: 44 },
      xaxis: { title: narrow ? "share" : "PED-ANOVA: share", domain: narrow ? [0, 1] : [0, 0.48], rangemode: "tozero" },
      xaxis2: { title: { text: "permutation: share of the ranks' variance", font: { size: 12, color: colours.text }, standoff: 8 }, domain: [0.54, 1], gridcolor: colours.grid, tickfont: { color: colours.muted, size: 11 }, zerolinecolor: colours.muted, automargin: true },
      yaxis: { gridcolor: "rgba(0,0,0,0)", ticks: "", tickfont: { size: narrow ? 10 : 12, color: colours.text } },
    },
  };
};

/** How long all trials took together, in seconds, and an axis' unit for it. */
function workTime() {
  const { begin, length } = Report.data.timeline;
  const whole = begin.reduce((most, at, i) => Math.max(most, at + length[i]), 0);
  const scale = whole > 7200 ? 3600 : whole > 600 ? 60 : 1;
  return { whole, scale, title: { 1: "seconds", 60: "minutes", 3600: "hours" }[scale] + " since the first trial began" };
}

Report.timelineChart = function (colours) {
  const { lanes, trial, lane, begin, length, steps, kind, gaps } = Report.data.timeline;
  const { scale, title } = workTime();
  const traces = ["search", "confirm"].map((name) => {
    const own = trial.map((_, i) => i).filter((i) => (kind[i] === "search") === (name === "search"));
    return {
      type: "bar", orientation: "h", name: name === "search" ? "searching" : "confirming",
      y: own.map((i) => lane[i]), base: own.map((i) => begin[i] / scale), x: own.map((i) => length[i] / scale), width: 0.72,
      marker: { color: name === "search" ? colours.new : colours.confirm, line: { color: colours.ground, width: 1 } },
      text: own.map((i) => String(trial[i])), textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none", textfont: { size: 10, color: colours.ground },
      customdata: own.map((i) => [trial[i], steps[i][0], steps[i][1], Report.time(length[i])]),
      hovertemplate: `trial %{customdata[0]}: ${Report.data.unit}s %{customdata[1]} to %{customdata[2]}, %{customdata[3]}<extra></extra>`,
    };
  });
  if (trial.length > 150) traces.forEach((trace) => (trace.textposition = "none"));
  const shapes = gaps.map(([from, to]) => ({ type: "rect", x0: from / scale, x1: to / scale, yref: "paper", y0: 0, y1: 1, fillcolor: colours.grid, line: { width: 0 }, layer: "below" }));
  return {
    traces: traces.filter((trace) => trace.y.length),
    layout: {
      height: 110 + lanes.length * 34, barmode: "overlay", shapes, uniformtext: { mode: "hide", minsize: 9 },
      xaxis: { title, rangemode: "tozero" },
      yaxis: { tickvals: lanes.map((_, i) => i), ticktext: lanes.map(Report.plain), autorange: "reversed", gridcolor: "rgba(0,0,0,0)" },
    },
  };
};

const USAGE = { cores: "processors in use", memory: "memory, GiB", gpu: "share of the GPU", gpu_memory: "GPU memory, GiB" };

/** What each worker took of its machine, over the same time as the timeline. */
Report.usageChart = (key) => function (colours) {
  const { lanes } = Report.data.timeline;
  const { whole, scale, title } = workTime();
  const shades = [colours.new, colours.documented, colours.confirm, colours.other];
  const broken = (at, of) => of.flatMap((one, i) => (i && at[i] - at[i - 1] > whole / 20 ? [null, one] : [one])); // it had nothing to do
  const traces = Report.data.usage[key].map(({ lane, at, value }, i) => ({
    type: "scatter", mode: "lines+markers", name: Report.plain(lanes[lane]), x: broken(at, at.map((x) => x / scale)), y: broken(at, value),
    line: { color: shades[i % shades.length], width: 1.5, dash: ["solid", "dash", "dot", "dashdot"][Math.floor(i / shades.length) % 4] },
    marker: { color: shades[i % shades.length], size: 4 }, hovertemplate: `${Report.plain(lanes[lane])}: <b>%{y}</b><extra></extra>`,
  }));
  return { traces, layout: { height: 240, showlegend: traces.length > 1, xaxis: { title, rangemode: "tozero" }, yaxis: { title: USAGE[key], rangemode: "tozero" } } };
};
