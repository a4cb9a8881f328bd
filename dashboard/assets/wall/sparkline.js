/** A sparkline: one SVG, drawn once, whose two paths are replaced when points come. */

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 60;
const MARGIN = 5;
/** Least span of the axis as a share of the value, so that noise does not look like news. */
const LEAST_SPAN = 0.04;

export class Sparkline {
  /** @param {Element} parent */
  constructor(parent) {
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.area = svg.appendChild(element("path", { class: "area" }));
    this.line = svg.appendChild(element("path", { class: "stroke" }));
    parent.replaceChildren(svg);
  }

  /**
   * @param {[number, number | null][]} points oldest first
   * @param {number} start left end of the axis @param {number} end right end @param {number} step time between points
   */
  draw(points, start, end, step) {
    const runs = unbroken(points, step).filter((run) => run.length > 1);
    const values = runs.flat().map((point) => point[1]);
    const [low, high] = span(values);
    const x = (time) => round(((time - start) / (end - start)) * WIDTH);
    const y = (value) => round(HEIGHT - MARGIN - ((value - low) / (high - low)) * (HEIGHT - 2 * MARGIN));
    const lines = runs.map((run) => run.map(([time, value]) => `${x(time)} ${y(value)}`).join("L"));
    this.line.setAttribute("d", lines.map((line) => `M${line}`).join(""));
    const closed = (line, run) => `M${x(run[0][0])} ${HEIGHT}L${line}L${x(run.at(-1)[0])} ${HEIGHT}Z`;
    this.area.setAttribute("d", lines.map((line, index) => closed(line, runs[index])).join(""));
  }
}

/** Runs of points without a gap: a hole in the data is a hole in the line. */
function unbroken(points, step) {
  const runs = [];
  let before = -Infinity;
  for (const [time, value] of points) {
    if (value === null) continue;
    if (time - before > 2.5 * step) runs.push([]);
    runs.at(-1).push([time, value]);
    before = time;
  }
  return runs;
}

/** @param {number[]} values */
function span(values) {
  if (!values.length) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const least = Math.max(Math.abs(high) * LEAST_SPAN, 1e-9);
  const missing = Math.max(0, least - (high - low)) / 2;
  return [low - missing, high + missing];
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

/** @param {string} name @param {Record<string, string | number>} attributes */
export function element(name, attributes = {}) {
  const created = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, String(value));
  return created;
}
