// Predicts the tide at Brinsö for two days, from today, out of the harmonic
// constants in /data/tides.json: height = mean + Σ amplitude · cos(speed · t − phase).

import { clock, dateName, draw, load, onWidth, path, scale, ticks } from "./chart.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const HOURS_SHOWN = 48;
const margin = { left: 40, right: 8, top: 34, bottom: 26 };

const chart = document.getElementById("tide");
const readout = document.getElementById("tide-readout");

try {
  show(await load("/data/tides.json"));
} catch (error) {
  readout.textContent = `The constants did not arrive (${error.message}).`;
}

function show(constants) {
  const heightAt = (time) => {
    const hours = (time - Date.parse(constants.epoch)) / HOUR;
    return constants.constituents.reduce(
      (sum, c) => sum + c.amplitude_m * Math.cos(((c.speed_deg_h * hours - c.phase_deg) * Math.PI) / 180),
      constants.mean_level_m,
    );
  };
  const start = new Date().setUTCHours(0, 0, 0, 0);
  const turns = findTurns(heightAt, start, start + HOURS_SHOWN * HOUR);
  fillTable(turns);
  sayNow(heightAt, turns);
  onWidth(chart, (width) => chart.replaceChildren(drawTide(heightAt, start, turns, width)));
}

/** High and low waters between two times, to the minute. */
function findTurns(heightAt, from, to) {
  const turns = [];
  for (let time = from; time < to; time += MINUTE) {
    const before = heightAt(time) - heightAt(time - MINUTE);
    const after = heightAt(time + MINUTE) - heightAt(time);
    if (before > 0 !== after > 0) turns.push({ time, height: heightAt(time), high: before > 0 });
  }
  return turns;
}

function fillTable(turns) {
  const rows = turns.map((turn) => {
    const row = document.createElement("tr");
    const cells = [dateName(new Date(turn.time)), clock(new Date(turn.time)), turn.high ? "High" : "Low", `${metres(turn.height)} m`];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.lastChild.className = "number";
    return row;
  });
  document.getElementById("tide-rows").replaceChildren(...rows);
}

function sayNow(heightAt, turns) {
  const now = Date.now();
  const next = turns.find((turn) => turn.time > now);
  const rising = heightAt(now + MINUTE) > heightAt(now);
  const then = next ? `; ${next.high ? "high" : "low"} water at ${clock(new Date(next.time))}` : "";
  readout.textContent = `Now, ${clock(new Date(now))} UTC: ${metres(heightAt(now))} m and ${rising ? "rising" : "falling"}${then}.`;
}

function drawTide(heightAt, start, turns, width) {
  const height = 250;
  const x = scale(0, HOURS_SHOWN, margin.left, width - margin.right);
  const y = scale(0, 3.6, height - margin.bottom, margin.top);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "The tide today and tomorrow; the times and heights are in the table below" });
  const curve = [];
  for (let hour = 0; hour <= HOURS_SHOWN; hour += 0.2) curve.push([x(hour), y(heightAt(start + hour * HOUR))]);
  draw("path", { class: "water", d: `${path(curve)}V${y(0)}H${x(0)}Z` }, svg);
  draw("text", { class: "name", x: 0, y: 14 }, svg, "Height above chart datum, m");
  for (const tick of ticks(0, 3.5, 4)) {
    draw("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick) }, svg);
    draw("text", { x: margin.left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, tick);
  }
  const every = width > 560 ? 6 : 12;
  for (let hour = 0; hour <= HOURS_SHOWN; hour += every) {
    const anchor = hour === HOURS_SHOWN ? "end" : "middle";
    draw("text", { x: x(hour), y: height - 6, "text-anchor": anchor }, svg, `${String(hour % 24).padStart(2, "0")}:00`);
  }
  draw("path", { class: "line", d: path(curve) }, svg);
  for (const turn of turns) {
    const at = (turn.time - start) / HOUR;
    const above = turn.high ? -8 : 18;
    if (at > 1 && at < HOURS_SHOWN - 1) draw("text", { x: x(at), y: y(turn.height) + above, "text-anchor": "middle" }, svg, metres(turn.height));
  }
  const now = (Date.now() - start) / HOUR;
  draw("line", { class: "cursor", x1: x(now), x2: x(now), y1: margin.top - 8, y2: y(0) }, svg);
  draw("circle", { class: "mark", cx: x(now), cy: y(heightAt(Date.now())), r: 4.5 }, svg);
  return svg;
}

function metres(value) {
  return value.toFixed(1).replace("-", "−");
}
