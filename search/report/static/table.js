// The table of all trials: sorted by any column, filtered like the charts, a row can be chosen.

const FIRST = 100; // rows that are shown before someone asks for all
const COLUMNS = [
  ["trial", (i) => trials.number[i]],
  ["stage", (i) => trials.kind[i]],
  ["status", (i) => trials.status[i]],
  ["score", (i) => trials.objective[i]],
  [`${Report.data.unit}s`, (i) => trials.steps[i]],
  ["seconds", (i) => trials.seconds[i]],
  ["from", (i) => trials.origin[i]],
  ...Report.data.knobs.map((knob, at) => [knob.path, (i) => trials.knobs[at][i]]),
  ["reason", (i) => trials.reason[i]],
];
const NUMERIC = COLUMNS.map(([, value]) => trials.number.every((_, i) => value(i) === null || typeof value(i) === "number"));

const table = { by: 3, down: !lower, all: false };

function ordered() {
  const value = COLUMNS[table.by][1];
  const rows = [...trials.number.keys()].filter((i) => Report.shown[i]);
  return rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === y) return a - b;
    if (x === null || y === null) return x === null ? 1 : -1; // what has no value comes last either way
    return (x < y ? -1 : 1) * (table.down ? -1 : 1);
  });
}

function row(i) {
  const made = document.createElement("tr");
  made.setAttribute("aria-selected", String(i === Report.selected));
  COLUMNS.forEach(([name, value], at) => {
    const shown = name === "seconds" ? Report.show(Math.round(value(i) * 10) / 10) : Report.show(value(i));
    const one = document.createElement("td");
    one.className = NUMERIC[at] ? "n" : name === "status" ? `status ${trials.status[i]}` : "";
    if (at === 0) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = shown;
      button.setAttribute("aria-label", `Show trial ${shown} in the charts`);
      button.setAttribute("aria-pressed", String(i === Report.selected));
      button.dataset.index = i;
      one.append(button);
    } else one.textContent = shown;
    if (name === "reason") one.title = trials.reason[i];
    made.append(one);
  });
  return made;
}

Report.drawTable = function () {
  const body = document.querySelector("#trial-table tbody");
  const rows = ordered();
  const shown = table.all || Report.printing() ? rows : rows.slice(0, FIRST);
  body.replaceChildren(...shown.map(row));
  document.getElementById("trial-shown").textContent = `· ${shown.length} of ${rows.length} shown`;
  const more = document.getElementById("more-trials");
  more.hidden = shown.length === rows.length;
  more.textContent = `Show all ${rows.length}`;
  document.querySelectorAll("#trial-table th").forEach((head, at) => {
    head.setAttribute("aria-sort", at === table.by ? (table.down ? "descending" : "ascending") : "none");
    head.firstChild.textContent = COLUMNS[at][0] + (at === table.by ? (table.down ? " ↓" : " ↑") : "");
  });
};

/** Builds the head; `chosen` is called when another trial is chosen. */
Report.startTable = function (chosen) {
  const head = document.createElement("tr");
  COLUMNS.forEach(([name], at) => {
    const made = document.createElement("th");
    made.scope = "col";
    if (NUMERIC[at]) made.className = "n";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      table.down = table.by === at ? !table.down : false;
      table.by = at;
      Report.drawTable();
    });
    made.append(button);
    head.append(made);
  });
  document.querySelector("#trial-table thead").append(head);
  document.getElementById("more-trials").addEventListener("click", () => {
    table.all = true;
    Report.drawTable();
  });
  document.querySelector("#trial-table tbody").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const index = Number(button.dataset.index);
    Report.selected = Report.selected === index ? null : index;
    chosen();
    document.querySelector(`#trial-table button[data-index="${index}"]`)?.focus();
  });
  Report.drawTable();
};
