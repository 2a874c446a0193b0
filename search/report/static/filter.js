// Which trials are shown: by status, by stage, and by conditions such as `lr>0.001 batch_size=32|64 #7 forest`.

const trials = Report.data.trials;
const COUNT = trials.number.length;
const WORDS = ["objective", "steps", "seconds", "status", "origin", "kind", "seed"];
const CONDITION = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/;

Report.shown = new Uint8Array(COUNT).fill(1);
Report.selected = null; // index of a trial
Report.indexOf = new Map(trials.number.map((number, index) => [number, index]));

function column(name) {
  const paths = Report.data.knobs.map((knob) => knob.path);
  const wanted = name.toLowerCase();
  const word = WORDS.find((each) => each === wanted);
  let at = paths.findIndex((path) => path.toLowerCase() === wanted);
  if (at < 0 && word) return trials[word];
  if (at < 0) at = paths.findIndex((path) => path.toLowerCase().endsWith("." + wanted));
  if (at < 0) at = paths.findIndex((path) => path.toLowerCase().includes(wanted));
  return at < 0 ? null : trials.knobs[at];
}

function compared(value, sign, text) {
  if (value === null) return false;
  if (sign === "=" || sign === "!=") {
    const equal = text.split("|").some((one) => {
      const number = Number(one);
      return typeof value === "number" && one !== "" && !Number.isNaN(number)
        ? Math.abs(value - number) <= 1e-9 + 5e-4 * Math.abs(number)
        : String(value).replace(/\s/g, "").toLowerCase() === one.toLowerCase();
    });
    return equal === (sign === "=");
  }
  const limit = Number(text);
  if (typeof value !== "number") return false;
  return { "<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit }[sign];
}

/** A test of a trial's index, and the words in `text` that were not understood. */
Report.parse = function (text) {
  const tests = [];
  const unknown = [];
  const closed = text.replace(/−/g, "-").replace(/\s*(<=|>=|!=|=|<|>)\s*/g, "$1").replace(/\[[^\]]*\]/g, (list) => list.replace(/\s/g, ""));
  for (const token of closed.split(/[\s;]+/).filter(Boolean)) {
    const found = token.match(CONDITION);
    if (/^#\d+$/.test(token)) {
      tests.push((index) => trials.number[index] === Number(token.slice(1)));
    } else if (found) {
      const values = column(found[1]);
      const ordering = /^[<>]/.test(found[2]);
      if (!values || found[3] === "" || (ordering && Number.isNaN(Number(found[3])))) unknown.push(token);
      else tests.push((index) => compared(values[index], found[2], found[3]));
    } else {
      const wanted = token.toLowerCase();
      tests.push((index) => words(index).includes(wanted));
    }
  }
  return { test: (index) => tests.every((each) => each(index)), unknown };
};

function words(index) {
  const knobs = Report.data.knobs.map((knob, at) => `${knob.path}=${Report.show(trials.knobs[at][index])}`);
  return [trials.origin[index], trials.reason[index], ...knobs].join(" ").toLowerCase();
}

function boxes(holder, name, values, checked) {
  for (const value of values) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = name;
    box.value = value;
    box.defaultChecked = checked(value);
    box.checked = box.defaultChecked;
    label.append(box, value);
    holder.append(label);
  }
}

/** Builds the filter's boxes and calls `changed` whenever another set of trials is shown. */
Report.startFilter = function (changed) {
  const form = document.getElementById("filter");
  const text = document.getElementById("filter-text");
  const order = ["completed", "stopped", "paused", "running", "proposed", "diverged", "failed"];
  const statuses = order.filter((status) => trials.status.includes(status));
  const kinds = ["search", "confirm", "explain"].filter((kind) => trials.kind.includes(kind));
  boxes(document.getElementById("filter-status"), "status", statuses, () => true);
  boxes(document.getElementById("filter-kind"), "kind", kinds, (kind) => kind === "search" || kinds.length === 1);
  document.getElementById("filter-kind").hidden = kinds.length < 2;

  function apply() {
    const checked = (name) => new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
    const [status, kind] = [checked("status"), checked("kind")];
    const { test, unknown } = Report.parse(text.value);
    let shown = 0;
    for (let i = 0; i < COUNT; i++) {
      Report.shown[i] = status.has(trials.status[i]) && kind.has(trials.kind[i]) && test(i) ? 1 : 0;
      shown += Report.shown[i];
    }
    text.setAttribute("aria-invalid", unknown.length ? "true" : "false");
    const count = `${shown} of ${COUNT} trials`;
    document.getElementById("filter-count").textContent = unknown.length ? `not understood: ${unknown[0]}` : count;
    changed();
  }
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, COUNT > 200 ? 200 : 60);
  });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
  Report.filterBy = function (condition) {
    text.value = [text.value.trim(), condition].filter(Boolean).join(" ");
    apply();
  };
};

/** What a chart says of a trial when the pointer is on it. */
Report.about = function (index) {
  const knobs = Report.data.knobs
    .map((knob, at) => [knob.path, trials.knobs[at][index]])
    .filter(([, value]) => value !== null)
    .slice(0, 12)
    .map(([path, value]) => `${Report.plain(path)} = ${Report.plain(Report.show(value))}`);
  return `<b>trial ${trials.number[index]}</b> · ${trials.status[index]} · ${Report.plain(trials.origin[index])}<br>${knobs.join("<br>")}`;
};
