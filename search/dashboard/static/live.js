// The live page: its parts come rendered, by server-sent events; the curves are drawn here.

const asked = new URLSearchParams(location.search);
const token = asked.get("token") || sessionStorage.getItem("schedule-search-token") || "";
if (asked.has("token")) {
  // The token stays in this tab and leaves the address, which is copied and shown to others.
  sessionStorage.setItem("schedule-search-token", token);
  asked.delete("token");
  history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
}

const link = document.getElementById("link");
const said = document.getElementById("said");
let curves = null;
let source = null;

function put(name, html) {
  const part = document.getElementById(`part-${name}`);
  if (part.dataset.shown === html) return;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const scrolled = part.querySelector(".happened")?.scrollTop || 0;
  const again = focused && (focused.id ? `#${focused.id}` : focused.dataset.search ? `[data-search="${CSS.escape(focused.dataset.search)}"]` : ".happened");
  part.innerHTML = html; // rendered and escaped by the server
  part.dataset.shown = html;
  if (again) part.querySelector(again)?.focus({ preventScroll: true });
  if (scrolled) part.querySelector(".happened").scrollTop = scrolled;
}

const LOOKS = {
  new: { width: 3, dash: "solid", role: "new", name: "best so far" },
  documented: { width: 3, dash: "dash", role: "documented", name: "baseline" },
  running: { width: 2, dash: "solid", role: "confirm", name: "at work" },
  other: { width: 1, dash: "solid", role: "other", name: "others" },
};

function chart(colours) {
  const seen = new Set();
  const traces = curves.curves.map((curve) => {
    const look = LOOKS[curve.kind];
    const first = !seen.has(curve.kind);
    seen.add(curve.kind);
    return {
      type: "scatter", mode: curve.steps.length > 1 ? "lines" : "markers", name: look.name, legendgroup: curve.kind, showlegend: first,
      x: curve.steps, y: curve.values, line: { color: colours[look.role], width: look.width, dash: look.dash }, marker: { color: colours[look.role], size: 6 },
      opacity: curve.kind === "other" ? 0.6 : 1,
      hovertemplate: `${Report.plain(curve.name)}<br>${curves.unit} %{x}: <b>%{y:.4g}</b><extra></extra>`,
    };
  });
  const marks = curves.rungs.map((step) => Report.mark(step, "rung", colours));
  return {
    traces,
    layout: {
      xaxis: { title: Report.plain(curves.unit), rangemode: "tozero" },
      yaxis: { title: Report.plain(curves.metric) },
      shapes: marks.map((mark) => mark.shape),
      annotations: marks.map((mark) => mark.label),
    },
  };
}

function show(state) {
  for (const name of ["list", "head", "detail"]) put(name, state.parts[name] || "");
  document.title = state.name ? `${state.name}: search` : "Searches";
  const drawn = state.curves && state.curves.curves.length > 0;
  document.getElementById("curves").hidden = !drawn;
  const changed = JSON.stringify(state.curves) !== JSON.stringify(curves);
  curves = state.curves;
  if (!drawn || !changed) return;
  const count = curves.curves.length;
  document.getElementById("curves-note").textContent = count < curves.of ? `${count} of ${curves.of} trials: the best, the baseline, those at work and the newest.` : "";
  Report.redraw("c-live");
}

function follow(name) {
  source?.close();
  source = new EventSource(`events?search=${encodeURIComponent(name)}`);
  source.onmessage = (event) => {
    link.textContent = "live";
    show(JSON.parse(event.data));
    document.documentElement.dataset.ready = "1";
  };
  source.onerror = () => (link.textContent = "the server does not answer; trying again");
}

document.addEventListener("click", async (event) => {
  const action = event.target.closest("[data-action]");
  if (action) {
    action.disabled = true;
    const answer = await fetch(`searches/${encodeURIComponent(action.dataset.search)}/${action.dataset.action}`, { method: "POST", headers: { "X-Token": token } }).catch(() => null);
    said.textContent = answer ? (await answer.json()).said : "the server does not answer";
    action.disabled = false;
    return;
  }
  const chosen = event.target.closest("a[data-search]");
  if (!chosen || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", chosen.getAttribute("href"));
  said.textContent = "";
  follow(chosen.dataset.search);
});
addEventListener("popstate", () => follow(new URLSearchParams(location.search).get("search") || ""));

Report.startTheme(() => curves && Report.redraw());
Report.chart("c-live", (colours) => (curves ? chart(colours) : { traces: [], layout: {} }));
Report.startCharts();
follow(asked.get("search") || "");
