/** The tiles: one indicator each, written in place. */
import { write } from "./header.js";
import { Sparkline } from "./sparkline.js";

const DASH = "—";
const LOUD = "bad";
const LONG_WORD = 18;
/** Milliseconds after which a sparkline is drawn again without a new point: where data stopped, the gap has to show. */
const REDRAW = 30_000;

export class Tiles {
  /** @param {HTMLElement} root @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(root, page, city) {
    this.page = page;
    this.tiles = [...root.querySelectorAll(".tile")].map((tile) => new Tile(tile, page, city));
    this.drawn = performance.now();
  }

  /** @param {import("./city.js").Frame} frame */
  update(frame) {
    const changed = new Set((frame.cells ?? []).map((cell) => `${cell.kpi}/${cell.zone}`));
    for (const tile of this.tiles) {
      if (frame.reset || changed.has(tile.key)) tile.update();
      if (frame.reset || frame.points?.[tile.kpi]) tile.draw();
    }
    this.#shout();
  }

  tick() {
    this.tiles.forEach((tile) => tile.tick());
    if (performance.now() - this.drawn < REDRAW) return;
    this.drawn = performance.now();
    this.tiles.forEach((tile) => tile.draw());
  }

  /** One thing may shout at a time: the worst tile, the first of equals. */
  #shout() {
    const severities = this.tiles.map((tile) => this.page.severity(tile.element.dataset.state));
    const worst = Math.max(...severities);
    const loud = worst >= this.page.severity(LOUD) ? severities.indexOf(worst) : -1;
    this.tiles.forEach((tile, index) => tile.element.toggleAttribute("data-shout", index === loud));
  }
}

class Tile {
  /** @param {HTMLElement} element @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(element, page, city) {
    this.element = element;
    this.page = page;
    this.city = city;
    this.kpi = element.dataset.kpi;
    this.zone = element.dataset.zone;
    this.key = `${this.kpi}/${this.zone}`;
    this.parts = Object.fromEntries([...element.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.fill = element.querySelector(".covered .fill");
    this.change = element.querySelector(".change");
    this.sparkline = new Sparkline(this.parts.spark);
  }

  get cell() {
    return this.city.cell(this.kpi, this.zone) ?? { state: "none" };
  }

  update() {
    const { cell, element, page } = this;
    element.dataset.shown = cell.state;
    element.dataset.state = cell.state === "ok" ? (cell.band ?? "plain") : "none";
    this.#writeValue(cell);
    this.#writeChange(cell);
    write(this.parts.word, this.#word(cell));
    const long = this.parts.word.textContent.length > LONG_WORD;
    this.parts.word.dataset.length = long ? "long" : "";
    write(this.parts.coverage, this.#coverage(cell, long));
    this.fill.style.width = `${(cell.coverage ?? 0) * 100}%`;
    this.tick();
  }

  /** Beside a long word there is room for the number only. @param {boolean} briefly */
  #coverage(cell, briefly) {
    if (cell.coverage === undefined || cell.state !== "ok") return "";
    const share = this.page.percent(cell.coverage);
    return briefly ? share : this.page.say("tile.coverage", { share });
  }

  #writeValue(cell) {
    const { page, kpi, parts } = this;
    const byBand = this.element.dataset.show === "band";
    if (cell.state !== "ok") {
      write(parts.value, DASH);
      const last = byBand || cell.last === undefined ? "" : page.say("tile.last", { value: page.quantity(kpi, cell.last) });
      write(parts.unit, last);
    } else if (byBand && cell.band) {
      write(parts.value, page.bandLabel(kpi, cell.band));
      write(parts.unit, "");
    } else {
      write(parts.value, page.number(cell.value, page.kpis[kpi].decimals));
      write(parts.unit, page.kpis[kpi].unit);
    }
    const length = parts.value.textContent.length;
    parts.value.dataset.length = length > 14 ? "longest" : length > 9 ? "longer" : length > 6 ? "long" : "";
  }

  #writeChange(cell) {
    const { page, kpi, parts } = this;
    const known = cell.state === "ok" && cell.difference !== undefined && this.element.dataset.show !== "band";
    this.change.hidden = !known;
    if (!known) return;
    this.change.dataset.direction = Math.sign(cell.difference) > 0 ? "up" : cell.difference < 0 ? "down" : "flat";
    write(parts.difference, page.number(Math.abs(cell.difference), page.kpis[kpi].decimals));
    const minutes = Math.round(page.kpis[kpi].trend / 60_000);
    write(parts.trend, minutes < 60 ? page.say("tile.trend", { minutes }) : page.say("tile.trend_hours", { hours: Math.round(minutes / 60) }));
  }

  #word(cell) {
    const { page, city } = this;
    if (cell.state === "ok") {
      if (this.element.dataset.show === "band" && cell.note) return cell.note;
      return page.bandLabel(this.kpi, cell.band ?? "plain");
    }
    if (cell.state === "insufficient") return page.say("tile.insufficient", { share: page.percent(cell.coverage ?? 0) });
    if (cell.observedUntil === undefined) return page.say("tile.no_data");
    return page.say("tile.no_data_since", { time: page.minute(cell.observedUntil, city.now()) });
  }

  tick() {
    const { cell } = this;
    const aged = cell.state === "ok" && cell.observedUntil !== undefined;
    write(this.parts.age, aged ? this.page.age(this.city.now() - cell.observedUntil) : "");
  }

  draw() {
    const { history, step } = this.page.kpis[this.kpi];
    const now = this.city.now();
    const points = this.city.pointsSince(this.kpi, now - history);
    this.sparkline.draw(points, now - history, Math.max(now, points.at(-1)?.[0] ?? 0), step);
  }
}
