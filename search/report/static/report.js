// The report, put together.

const FILTERED = ["c-curves", "c-parallel", "c-slice", "c-pair"];

Report.startTheme(() => Report.redraw());
if (Report.data.course.ends.value.length) Report.chart("c-best", Report.bestChart);
if (curve.values.length) Report.chart("c-curves", Report.curvesChart);
Report.data.schedule.courses.forEach((course, i) => Report.chart(`c-schedule-${i}`, Report.scheduleChart(course, i === 0)));
if (Report.data.levels.all.length) {
  const parallel = document.getElementById("c-parallel");
  parallel.style.minWidth = `${(Report.data.axes.length + 1) * 78}px`;
  Report.chart("c-parallel", Report.parallelChart, Report.brush);
  Report.data.sliced.forEach((path, i) => Report.chart(`c-slice-${i}`, Report.sliceChart(path)));
  Report.data.pairs.forEach((pair, i) => Report.chart(`c-pair-${i}`, Report.pairChart(pair)));
}
if (Report.data.importance) Report.chart("c-importance", Report.importanceChart);
if (Report.data.timeline.trial.length) Report.chart("c-timeline", Report.timelineChart);
for (const key of Object.keys(Report.data.usage)) Report.chart(`c-usage-${key}`, Report.usageChart(key));
for (const element of document.querySelectorAll(".chart")) {
  if (!charts.has(element)) {
    element.classList.add("empty");
    element.textContent = "Nothing to draw yet.";
  }
}

let started = false;
const refresh = () => {
  if (!started) return;
  Report.redraw(...FILTERED);
  Report.drawTable();
};
Report.startFilter(refresh);
Report.startLevels(() => Report.redraw("c-parallel", "c-slice", "c-pair"));
Report.startTable(refresh);
document.querySelectorAll("input[name=against]").forEach((radio) => radio.addEventListener("change", () => Report.redraw("c-best")));
started = true;
Report.startCharts();

document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  navigator.clipboard?.writeText(button.dataset.copy).then(
    () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    },
    () => {},
  );
});

const links = new Map([...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]));
const spy = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link, id) => (id === target.id ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
      const link = links.get(target.id);
      const bar = link.closest("ul");
      bar.scrollLeft = link.offsetLeft - bar.clientWidth / 2;
    }
  },
  { rootMargin: "-25% 0px -70% 0px" },
);
links.forEach((_, id) => spy.observe(document.getElementById(id)));
document.documentElement.dataset.ready = String(Math.round(performance.now()));
