// The week's weather on the front page: three panels over one time axis, and
// a slider that reads them. Pointing at the chart moves the slider.

import { clock, dateName, dayName, draw, load, onWidth, path, scale, ticks, weekday } from "./chart.mjs";

const panels = [
  { name: "Pressure", unit: "hPa", line: "pressure_hpa", height: 130 },
  { name: "Wind, gusts dotted", unit: "m/s", line: "wind_m_s", gust: "gust_m_s", height: 120, low: 0 },
  { name: "Air", unit: "°C", line: "air_c", height: 80, low: 0 },
];
const points = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"];
const compass = (degrees) => points[Math.round(degrees / 22.5) % 16];
const margin = { left: 40, right: 8, gap: 34, bottom: 22 };

const chart = document.getElementById("week");
const slider = document.getElementById("week-slider");
const readout = document.getElementById("week-readout");

try {
  show(await load("/data/week.json"));
} catch (error) {
  readout.textContent = `The readings did not arrive (${error.message}).`;
}

function show(week) {
  const count = week.air_c.length;
  const dateOf = (index) => new Date(Date.parse(week.start) + index * week.step_seconds * 1000);
  let moveCursor = () => {};

  onWidth(chart, (width) => {
    const x = scale(0, count - 1, margin.left, width - margin.right);
    const height = panels.reduce((sum, panel) => sum + panel.height + margin.gap, margin.bottom);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Pressure, wind and air temperature, 14 to 20 November" });
    drawDays(svg, x, height - margin.bottom, width > 480 ? dayName : weekday);
    let top = 0;
    for (const panel of panels) {
      drawPanel(svg, panel, top + margin.gap, x, width);
      top += panel.height + margin.gap;
    }
    const cursor = draw("line", { class: "cursor", y1: 20, y2: top }, svg);
    moveCursor = (index) => {
      cursor.setAttribute("x1", x(index));
      cursor.setAttribute("x2", x(index));
    };
    svg.addEventListener("pointermove", (event) => {
      const left = event.clientX - svg.getBoundingClientRect().left;
      slider.value = Math.round(scale(margin.left, width - margin.right, 0, count - 1)(left));
      read();
    });
    chart.replaceChildren(svg);
    read();
  });

  slider.max = count - 1;
  slider.value = week.pressure_hpa.indexOf(Math.min(...week.pressure_hpa));
  slider.hidden = false;
  slider.addEventListener("input", read);

  function read() {
    const i = Number(slider.value);
    const text = `${dateName(dateOf(i))}, ${clock(dateOf(i))}: ${week.pressure_hpa[i].toFixed(1)} hPa, `
      + `${compass(week.wind_from_deg[i])} ${week.wind_m_s[i].toFixed(1)} m/s, gusts ${week.gust_m_s[i].toFixed(1)}, `
      + `air ${week.air_c[i].toFixed(1).replace("-", "−")} °C`;
    readout.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    moveCursor(i);
  }

  function drawPanel(svg, panel, top, x, width) {
    const values = week[panel.line];
    const all = panel.gust ? values.concat(week[panel.gust]) : values;
    const low = panel.low ?? Math.min(...all);
    const y = scale(low, Math.max(...all), top + panel.height, top);
    draw("text", { class: "name", x: 0, y: top - 14 }, svg, `${panel.name}, ${panel.unit}`);
    for (const tick of ticks(low, Math.max(...all), panel.height / 26)) {
      draw("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick) }, svg);
      draw("text", { x: margin.left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, tick);
    }
    const line = (name) => path(week[name].map((value, i) => [x(i), y(value)]));
    if (panel.gust) {
      draw("path", { class: "gust", d: line(panel.gust) }, svg);
      drawArrows(svg, x, top - 18, width);
    }
    draw("path", { class: "line", d: line(panel.line) }, svg);
  }

  /** Arrows fly with the wind: as many as there is room for. */
  function drawArrows(svg, x, y, width) {
    const every = width > 560 ? 12 : 24; // readings
    for (let i = every / 2; i < count; i += every) {
      if (x(i) < 160) continue; // the panel's name stands there
      draw("path", { class: "arrow", d: "M0 -6V6M-3 2L0 6L3 2", transform: `translate(${x(i)} ${y}) rotate(${week.wind_from_deg[i]})` }, svg);
    }
  }

  function drawDays(svg, x, bottom, nameOf) {
    for (let i = 0; i < count; i += 48) {
      draw("line", { class: "grid", x1: x(i), x2: x(i), y1: margin.gap, y2: bottom + 6 }, svg);
      draw("text", { x: x(i + 24), y: bottom + 18, "text-anchor": "middle" }, svg, nameOf(dateOf(i)));
    }
  }
}
