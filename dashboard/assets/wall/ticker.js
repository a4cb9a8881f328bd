/** The line of incidents: as many as fit, then the next ones; it turns pages instead of scrolling. */
import { write } from "./header.js";

const TURN = 9000;
const NAMED = 3;

export class Ticker {
  /** @param {HTMLElement} root @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(root, page, city) {
    this.page = page;
    this.city = city;
    this.box = root.querySelector("[data-part=incidents]");
    this.count = root.querySelector("[data-part=count]");
    this.number = root.querySelector("[data-part=pages]");
    this.current = 0;
    this.turned = performance.now();
    /** @type {HTMLElement[][]} */ this.pages = [];
    this.known = false;
    addEventListener("resize", () => this.#paginate());
    document.fonts.ready.then(() => this.#paginate());
  }

  /** @param {import("./city.js").Frame} frame */
  update(frame) {
    const known = this.#isKnown();
    if (!frame.incidents && !frame.reset && known === this.known) return;
    this.known = known;
    const { incidents } = this.city;
    const items = grouped(incidents).map((group) => this.#item(group));
    this.box.replaceChildren(...(items.length ? items : [this.#calm()]));
    write(this.count, incidents.length ? this.page.number(incidents.length) : "");
    this.#paginate();
  }

  tick() {
    if (this.pages.length < 2 || performance.now() - this.turned < TURN) return;
    this.turned = performance.now();
    this.current = (this.current + 1) % this.pages.length;
    this.#show();
  }

  /** Districts with the same trouble stand together, the newest first: it is the news. @param {object[]} group */
  #item(group) {
    const { page } = this;
    const { kpi, band, value } = group[0];
    const item = span("incident");
    item.dataset.state = band;
    const name = page.kpis[kpi]?.short ?? kpi;
    item.append(
      span("shape"),
      span("zone", this.#zones(group)),
      span("what", group.length > 1 ? name : `${name} ${page.quantity(kpi, value)}`),
      span("word", page.bandLabel(kpi, band)),
      span("since", this.#since(group.map((one) => one.since).filter(Boolean))),
    );
    return item;
  }

  /** When it began and, for several districts, when the last of them followed. @param {number[]} begun */
  #since(begun) {
    if (!begun.length) return "";
    const [time, latest] = [Math.min(...begun), Math.max(...begun)].map((moment) => this.page.minute(moment, this.city.now()));
    return time === latest ? this.page.say("ticker.since", { time }) : this.page.say("ticker.since_latest", { time, latest });
  }

  #zones(group) {
    const name = (zone) => this.page.zones[zone] ?? { name: zone, short: zone };
    if (group.length === 1) return name(group[0].zone).name;
    const zones = group.slice(0, NAMED).map((one) => name(one.zone).short).join(", ");
    return group.length > NAMED ? this.page.say("ticker.more", { zones, n: group.length - NAMED }) : zones;
  }

  /** Whether any district has a live value: only then is it known that there are no incidents. */
  #isKnown() {
    const districts = new Set(this.page.map.cells.map((cell) => cell.zone_id));
    return [...this.city.cells.values()].some((cell) => cell.state === "ok" && districts.has(cell.zone));
  }

  /** No incident is news too, but only where there are values to have none in. */
  #calm() {
    const { known } = this;
    const item = span("incident calm");
    item.dataset.state = known ? "good" : "none";
    item.append(span("shape"), span("what", this.page.say(known ? "ticker.none" : "ticker.unknown")));
    return item;
  }

  #paginate() {
    const items = [...this.box.children];
    items.forEach((item) => (item.hidden = false));
    write(this.number, `${items.length}/${items.length}`); // which takes its room from the items
    const gap = parseFloat(getComputedStyle(this.box).columnGap) || 0;
    this.pages = [];
    let left = 0;
    for (const item of items) {
      if (!this.pages.length || item.offsetWidth > left) {
        this.pages.push([]);
        left = this.box.clientWidth;
      }
      this.pages.at(-1).push(item);
      left -= item.offsetWidth + gap;
    }
    this.current = Math.min(this.current, Math.max(0, this.pages.length - 1));
    this.#show();
  }

  #show() {
    this.pages.forEach((items, index) => items.forEach((item) => (item.hidden = index !== this.current)));
    write(this.number, this.pages.length > 1 ? `${this.current + 1}/${this.pages.length}` : "");
  }
}

/** Incidents of the same KPI and band, in the order they came. @param {object[]} incidents @returns {object[][]} */
function grouped(incidents) {
  const groups = new Map();
  for (const incident of incidents) {
    const key = `${incident.kpi}/${incident.band}`;
    groups.set(key, [...(groups.get(key) ?? []), incident]);
  }
  return [...groups.values()].map((group) => group.sort((one, other) => (other.since ?? 0) - (one.since ?? 0)));
}

/** @param {string} className @param {string} [text] */
function span(className, text) {
  const created = document.createElement("span");
  created.className = className;
  if (text !== undefined) created.textContent = text;
  return created;
}
