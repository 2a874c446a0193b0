// Charts that are drawn when they come into view, in the theme's colours, and again when something changes.

const charts = new Map();
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';
const coarse = matchMedia("(pointer: coarse)").matches;

/** Registers the chart in the element `id`. `make(colours)` gives `{traces, layout}`; `after(element)` runs once. */
Report.chart = function (id, make, after) {
  const element = document.getElementById(id);
  if (element) charts.set(element, { make, after, drawn: false, stale: true, visible: false });
};

/** Draws again the charts whose id begins with one of `prefixes`: at once those in view, the others when they come into it. */
Report.redraw = function (...prefixes) {
  for (const [element, chart] of charts) {
    const named = prefixes.length === 0 || prefixes.some((prefix) => element.id.startsWith(prefix));
    if (!named) continue;
    chart.stale = true;
    if (chart.visible) draw(element, chart);
  }
};

function draw(element, chart) {
  const colours = Report.colours();
  const { traces, layout } = chart.make(colours);
  const whole = styled(layout, colours);
  if (Report.printing()) whole.width = element.matches(".small, .square") ? 320 : 680;
  const first = !chart.drawn;
  chart.drawn = true;
  chart.stale = false;
  Plotly.react(element, traces, whole, {
    displaylogo: false,
    responsive: true,
    scrollZoom: false,
    modeBarButtonsToRemove: ["sendChartToCloud", "sendDataToCloud", "editInChartStudio", "select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { filename: `${document.title.split(":")[0]}-${element.id.slice(2)}`, scale: 2 },
  });
  if (first && chart.after) chart.after(element);
}

function axis(given, colours) {
  const { title, ...rest } = given || {};
  return {
    gridcolor: colours.grid,
    zeroline: false,
    linecolor: colours.muted,
    tickcolor: colours.muted,
    ticks: "outside",
    ticklen: 4,
    automargin: true,
    tickfont: { color: colours.muted, size: 11 },
    ...rest,
    ...(title ? { title: { text: title, standoff: 8, font: { size: 12, color: colours.text } } } : {}),
  };
}

function styled(layout, colours) {
  const { xaxis, yaxis, ...rest } = layout;
  return {
    font: { family: FONT, size: 12, color: colours.text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 14, t: 34, b: 44 },
    hovermode: "closest",
    dragmode: coarse ? false : "zoom",
    hoverlabel: { bgcolor: colours.ground, bordercolor: colours.muted, font: { family: FONT, size: 12, color: colours.text }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: { size: 12 }, bgcolor: "rgba(0,0,0,0)", itemsizing: "constant" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.text },
    ...rest,
    xaxis: axis(xaxis, colours),
    yaxis: axis(yaxis, colours),
  };
}

/** A thin vertical line with a name above it. */
Report.mark = function (x, name, colours) {
  return {
    shape: { type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colours.muted, width: 1, dash: "dot" }, layer: "below" },
    label: { x, y: 0, yref: "paper", yanchor: "bottom", xanchor: "left", text: name, showarrow: false, font: { size: 10, color: colours.muted } },
  };
};

/** Draws what is in view now, the rest as it comes into view, everything before printing. */
Report.startCharts = function () {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        const chart = charts.get(target);
        chart.visible = isIntersecting;
        if (isIntersecting && chart.stale) draw(target, chart);
      }
    },
    { rootMargin: "300px" },
  );
  for (const element of charts.keys()) seen.observe(element);
  Report.startPrint(Report.drawAll);
};

/** Draws all charts at once. */
Report.drawAll = () => charts.forEach((chart, element) => draw(element, chart));
