/** The left column: per family of sensors the share that reports, its rate, and the worst band a district is in. */
import { write } from "./header.js";

const WATCH = 0.9;

export class Networks {
  /** @param {HTMLElement} root @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(root, page, city) {
    this.page = page;
    this.city = city;
    this.total = root.querySelector("[data-part=total]");
    this.rows = new Map([...root.querySelectorAll(".network")].map((row) => [row.dataset.family, row]));
  }

  /** @param {import("./city.js").Frame} frame */
  update(frame) {
    if (!frame.families) return;
    const { page, city } = this;
    const things = city.families.reduce((total, family) => total + family.things, 0);
    write(this.total, things ? page.say("family.total", { things: page.number(things) }) : "");
    city.families.forEach((family) => this.#write(family));
    this.tick();
  }

  #write(family) {
    const row = this.rows.get(family.family);
    if (!row) return;
    const { page } = this;
    const share = family.things ? family.reporting / family.things : 0;
    row.dataset.state = family.worst ?? "none";
    row.dataset.reporting = share >= WATCH ? "full" : "short";
    this.#part(row, "share", page.percent(share));
    row.querySelector(".fill").style.width = `${share * 100}%`;
    this.#part(row, "worst", this.#worst(family));
    const counts = { reporting: page.number(family.reporting), things: page.number(family.things) };
    this.#part(row, "reporting", page.say("family.reporting", counts));
    this.#part(row, "rate", page.say("family.rate", { n: page.number(family.perMinute) }));
  }

  #worst(family) {
    const { page } = this;
    if (!family.worst) return page.say("state.none");
    if (page.severity(family.worst) <= page.severity("good")) return page.say("family.calm");
    const state = page.stateWord(family.worst);
    if (family.zone) return page.say("family.worst_one", { state, zone: page.zones[family.zone]?.short ?? family.zone });
    return page.say("family.worst_many", { state, n: family.zones });
  }

  #part(row, name, text) {
    write(row.querySelector(`[data-part=${name}]`), text);
  }

  tick() {
    for (const family of this.city.families) {
      const row = this.rows.get(family.family);
      if (row) this.#part(row, "age", family.lastSeen ? this.page.age(this.city.now() - family.lastSeen) : "");
    }
  }
}
