/** The top line: clock in the city's time, and the live mark with the real delay, or what is wrong, in words. */

const QUIET_AFTER = 90_000;

export class Header {
  /** @param {HTMLElement} root @param {import("./page.js").Page} page @param {import("./city.js").City} city */
  constructor(root, page, city) {
    this.root = root;
    this.page = page;
    this.city = city;
    this.live = root.querySelector(".live");
    this.text = root.querySelector("[data-part=live-text]");
    this.clock = root.querySelector("[data-part=clock]");
    this.date = root.querySelector("[data-part=date]");
  }

  update() {
    const now = this.city.now();
    write(this.clock, this.page.second(now));
    write(this.date, this.page.date(now));
    const link = this.city.link();
    this.root.dataset.link = link;
    const [mark, words] = this.#words(link, now);
    this.live.dataset.live = mark;
    write(this.text, words);
  }

  /** @param {string} link @param {number} now @returns {[string, string]} mark and words */
  #words(link, now) {
    const { page, city } = this;
    if (link === "connecting") return [link, page.say("live.connecting")];
    if (link === "never") return ["lost", page.say("live.never")];
    if (link === "lost") return ["lost", page.say("live.lost", { time: page.second(city.frame.now) })];
    if (link === "database") return ["lost", page.say("live.database", { time: page.second(city.frame.databaseAwaySince) })];
    const delay = city.delay();
    if (delay === null) return ["quiet", page.say("live.no_data")];
    if (delay > QUIET_AFTER) return ["quiet", page.say("live.quiet", { time: page.minute(now - delay, now) })];
    const seconds = page.number(delay / 1000, delay < 9950 ? 1 : 0);
    return ["live", page.say("live.live", { delay: page.say("delay.seconds", { n: seconds }) })];
  }
}

/** Write text where it differs, so that nothing is laid out again for nothing. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
