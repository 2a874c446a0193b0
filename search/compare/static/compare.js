// The charts of a comparison: courses on common axes, and the winners on fresh seeds.

function title(one) {
  return `${Report.plain(one.objective.metric)} (${Report.plain(one.objective.unit)})`;
}

function colourOf(group) {
  return group.colours[Report.dark() ? 1 : 0];
}

function faint(colour, share) {
  return `rgba(${[1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",")},${share})`;
}

/** A step function that goes on to its end. */
function held(steps, values, end) {
  return { x: [...steps, Math.max(end, steps[steps.length - 1])], y: [...values, values[values.length - 1]] };
}

function memberTrace(one, group, member, alone) {
  const colour = colourOf(group);
  return {
    type: "scatter", mode: "lines", name: Report.plain(alone ? group.name : member.name), legendgroup: group.name, showlegend: alone,
    ...held(member.steps, member.values, member.end), line: { shape: "hv", color: colour, dash: group.dash, width: alone ? 3 : 1.2 }, opacity: alone ? 1 : 0.65,
    hovertemplate: `${Report.plain(member.name)}, seed ${member.seed}<br>after %{x:,} ${one.unit}s: <b>%{y:.5g}</b><extra></extra>`,
  };
}

function meanTraces(one, group) {
  const { steps, values, end } = group.mean;
  const colour = colourOf(group);
  const line = (pick) => held(steps, values.map(pick), end);
  const edge = { type: "scatter", mode: "lines", line: { shape: "hv", width: 0, color: colour }, legendgroup: group.name, showlegend: false, hoverinfo: "skip" };
  return [
    { ...edge, ...line((value) => value.low) },
    { ...edge, ...line((value) => value.high), fill: "tonexty", fillcolor: faint(colour, 0.16) },
    {
      type: "scatter", mode: "lines", name: `${Report.plain(group.name)}, mean of ${group.members.length}`, legendgroup: group.name,
      ...line((value) => value.mean), line: { shape: "hv", color: colour, dash: group.dash, width: 3.5 },
      hovertemplate: `${Report.plain(group.name)}, mean<br>after %{x:,} ${one.unit}s: <b>%{y:.5g}</b><extra></extra>`,
    },
  ];
}

function confirmedTrace(group) {
  const alone = group.members.length === 1;
  const found = alone ? group.members[0].confirmed : group.confirmed;
  if (!found) return [];
  const end = alone ? group.members[0].end : Math.max(...group.members.map((member) => member.end));
  const bars = found.low === null ? {} : { error_y: { type: "data", symmetric: false, array: [found.high - found.mean], arrayminus: [found.mean - found.low], color: colourOf(group), thickness: 1.5, width: 5 } };
  return [
    {
      type: "scatter", mode: "markers", x: [end], y: [found.mean], ...bars, legendgroup: group.name, showlegend: false, cliponaxis: false,
      marker: { symbol: "diamond", size: 11, color: colourOf(group), line: { color: Report.colours().ground, width: 1.5 } },
      hovertemplate: `${Report.plain(group.name)}, on fresh seeds: <b>%{y:.5g}</b><extra></extra>`,
    },
  ];
}

/** The span of what matters: the courses and the confirmed means, not the far ends of wide intervals. */
function span(one) {
  const members = one.groups.flatMap((group) => group.members);
  const values = members.flatMap((member) => [...member.values, ...[member.confirmed, member.baseline].filter(Boolean).map((known) => known.mean)]);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = 0.12 * (high - low) || 0.1 * Math.abs(high) || 1;
  return [low - room, high + room];
}

function courseChart(one) {
  return (colours) => {
    const traces = [];
    for (const group of one.groups) {
      const alone = group.members.length === 1;
      for (const member of group.members) if (member.steps.length) traces.push(memberTrace(one, group, member, alone));
      if (group.mean) traces.push(...meanTraces(one, group));
      traces.push(...confirmedTrace(group));
    }
    const bases = one.groups.flatMap((group) => group.members).filter((member) => member.baseline);
    if (bases.length) {
      const level = bases.reduce((sum, member) => sum + member.baseline.mean, 0) / bases.length;
      const end = Math.max(...one.groups.flatMap((group) => group.members.map((member) => member.end)));
      traces.push({ type: "scatter", mode: "lines", name: "documented, fresh seeds", x: [0, end], y: [level, level], line: { color: colours.muted, width: 1.5, dash: "dot" }, hovertemplate: "documented, on fresh seeds: <b>%{y:.5g}</b><extra></extra>" });
    }
    return { traces, layout: { margin: { l: 56, r: 24, t: 34, b: 44 }, xaxis: { title: `${one.unit}s trained by all trials of a search`, rangemode: "tozero" }, yaxis: { title: title(one), range: span(one) } } };
  };
}

function scoresChart(one) {
  return (colours) => {
    const rows = one.groups.flatMap((group) => group.members.filter((member) => member.confirmed).map((member) => ({ group, member })));
    const names = rows.map(({ member }) => Report.plain(member.name.length > 22 ? `${member.name.slice(0, 21)}…` : member.name));
    const traces = rows.map(({ group, member }, i) => {
      const { mean, low, high } = member.confirmed;
      const bars = low === null ? {} : { error_x: { type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color: faint(colourOf(group), 0.4), thickness: 6, width: 0 } };
      return {
        type: "scatter", mode: "markers", x: [mean], y: [i], ...bars, showlegend: false, marker: { symbol: "line-ns", size: 18, line: { color: colourOf(group), width: 4 } },
        hovertemplate: `${Report.plain(member.name)}: <b>%{x:.5g}</b><extra></extra>`,
      };
    });
    for (const [i, { group, member }] of rows.entries()) {
      traces.push({ type: "scatter", mode: "markers", x: member.scores, y: member.scores.map(() => i), showlegend: false, marker: { size: 7, color: colours.ground, line: { color: colourOf(group), width: 1.5 } }, hovertemplate: "one seed: <b>%{x:.5g}</b><extra></extra>" });
    }
    return {
      traces,
      layout: {
        height: 70 + 40 * rows.length, margin: { l: 8, r: 12, t: 6, b: 40 },
        xaxis: { title: title(one) },
        yaxis: { tickvals: names.map((_, i) => i), ticktext: names, range: [rows.length - 0.4, -0.6], gridcolor: "rgba(0,0,0,0)", ticks: "", tickfont: { size: 12, color: colours.text } },
      },
    };
  };
}

Report.startTheme(() => Report.redraw());
Report.data.compared.forEach((one, i) => {
  Report.chart(`c-scores-${i}`, scoresChart(one));
  Report.chart(`c-course-${i}`, courseChart(one));
});
Report.startCharts();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
