// What the two charts share: SVG elements, scales, ticks. No data, no dates.

export function draw(name, attributes = {}, parent = undefined, text = undefined) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

/** A linear map from the interval [d0, d1] to [r0, r1]. */
export const scale = (d0, d1, r0, r1) => (value) => r0 + ((value - d0) / (d1 - d0)) * (r1 - r0);

/** Round numbers from `low` to `high`, about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step / 1e6; t += step) found.push(t);
  return found;
}

export const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

/** Calls `redraw(width)` now and whenever the element gets another width. */
export function onWidth(element, redraw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.round(element.clientWidth);
    if (width && width !== last) redraw((last = width));
  }).observe(element);
}

export async function load(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
  return response.json();
}

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const weekday = (date) => days[date.getUTCDay()];
export const dayName = (date) => `${weekday(date)} ${date.getUTCDate()}`;
export const dateName = (date) => `${dayName(date)} ${months[date.getUTCMonth()]}`;
export const clock = (date) => date.toISOString().slice(11, 16);
