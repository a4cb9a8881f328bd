/** The schematic district map: drawn once, then coloured and written in place; one KPI after the other. */
import { write } from "./header.js";
import { element } from "./sparkline.js";

const LINE = 1.12;

export class DistrictMap {
  /** @param {HTMLElement} root @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(root, page, city) {
    this.page = page;
    this.city = city;
    this.kpis = page.map.kpis;
    this.index = 0;
    this.turned = performance.now();
    this.title = root.querySelector("[data-part=map-title]");
    this.steps = root.querySelector("[data-part=map-steps]");
    this.legend = root.querySelector("[data-part=legend]");
    this.cells = this.#draw(root.querySelector("[data-part=map]"));
    this.steps.replaceChildren(...(this.kpis.length > 1 ? this.kpis.map(() => document.createElement("i")) : []));
    this.#show();
  }

  get kpi() {
    return this.kpis[this.index];
  }

  /** @param {Element} parent @returns {Map<string, {group: Element, value: Element}>} by zone */
  #draw(parent) {
    const { width, height, cells, value_size: valueSize } = this.page.map;
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const hatch = element("pattern", { id: "hatch", width: 14, height: 14, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    hatch.append(element("rect", { width: 14, height: 14, class: "hatch-ground" }), element("rect", { width: 6, height: 14, class: "hatch-line" }));
    const defs = element("defs");
    defs.append(hatch);
    svg.append(defs);
    this.layer = svg.appendChild(element("g"));
    parent.replaceChildren(svg);
    return new Map(cells.map((cell) => [cell.zone_id, this.#drawCell(cell, valueSize)]));
  }

  #drawCell({ zone_id: zone, path, label }, valueSize) {
    const group = this.layer.appendChild(element("g", { class: "district", "data-state": "none", "data-zone": zone }));
    group.append(element("path", { d: path }));
    const top = label.y - (label.lines.length * label.size * LINE + valueSize) / 2;
    label.lines.forEach((line, index) => {
      const text = element("text", { x: label.x, y: top + (index + 0.8) * label.size * LINE, "font-size": label.size, class: "name" });
      text.textContent = line;
      group.append(text);
    });
    const bottom = top + label.lines.length * label.size * LINE + valueSize * 0.86;
    const value = element("text", { x: label.x, y: bottom, "font-size": valueSize, class: "number" });
    value.textContent = "—";
    group.append(value);
    return { group, value };
  }

  /** @param {import("./city.js").Frame} frame */
  update(frame) {
    if (frame.reset || frame.cells?.some((cell) => cell.kpi === this.kpi)) this.#write();
  }

  tick() {
    if (this.kpis.length < 2 || performance.now() - this.turned < this.page.map.rotate) return;
    this.turned = performance.now();
    this.index = (this.index + 1) % this.kpis.length;
    this.#show();
  }

  #show() {
    const kpi = this.page.kpis[this.kpi];
    if (!kpi) return;
    write(this.title, kpi.unit ? `${kpi.title}, ${kpi.unit}` : kpi.title);
    [...this.steps.children].forEach((dot, index) => dot.toggleAttribute("data-on", index === this.index));
    this.#writeLegend(kpi);
    this.#write();
  }

  #writeLegend(kpi) {
    const entries = kpi.bands.map((band) => entry(band.state, band.label, band.range));
    this.legend.replaceChildren(...entries, entry("none", this.page.say("state.none"), ""));
  }

  #write() {
    const kpi = this.page.kpis[this.kpi];
    if (!kpi) return;
    for (const [zone, { group, value }] of this.cells) {
      const cell = this.city.cell(this.kpi, zone);
      const live = cell?.state === "ok";
      group.dataset.state = live ? (cell.band ?? "plain") : "none";
      const text = live ? this.page.number(cell.value, kpi.decimals) : "—";
      write(value, text);
      value.classList.toggle("long", text.length > 4);
    }
    this.#outlineWorst(kpi);
  }

  /** The heavier outline goes to one district: the worst band, and within it the value furthest on the bad side. */
  #outlineWorst(kpi) {
    const bad = [...this.cells.keys()]
      .map((zone) => this.city.cell(this.kpi, zone))
      .filter((cell) => cell?.state === "ok" && this.page.severity(cell.band) >= this.page.severity("bad"));
    const sign = kpi.direction === "up" ? -1 : 1;
    bad.sort((a, b) => this.page.severity(b.band) - this.page.severity(a.band) || sign * (b.value - a.value));
    for (const [zone, { group }] of this.cells) {
      const worst = zone === bad[0]?.zone;
      group.classList.toggle("worst", worst);
      if (worst) this.layer.append(group);
    }
  }
}

/** One line of the legend. @param {string} state @param {string} label @param {string} range */
function entry(state, label, range) {
  const item = document.createElement("span");
  item.className = "entry";
  item.dataset.state = state;
  const shape = document.createElement("span");
  shape.className = "shape";
  const name = document.createElement("span");
  name.textContent = label;
  item.append(shape, name);
  if (range) {
    const ends = document.createElement("span");
    ends.className = "range";
    ends.textContent = range;
    item.append(ends);
  }
  return item;
}
