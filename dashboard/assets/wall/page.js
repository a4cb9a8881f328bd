/** What came with the page: words, names, bands; and how numbers and times are written in its language. */

/**
 * @typedef {{state: string, label: string, range: string}} Band
 * @typedef {{title: string, short: string, unit: string, decimals: number, direction: string, step: number,
 *            history: number, trend: number, bands: Band[]}} Kpi
 */

export class Page {
  /** @param {HTMLElement} root the element that carries `data-page` */
  constructor(root) {
    const data = JSON.parse(root.dataset.page);
    /** @type {string} */ this.build = data.build;
    /** @type {string} */ this.language = data.language;
    /** @type {Record<string, Kpi>} */ this.kpis = data.kpis;
    /** @type {Record<string, {name: string, short: string}>} */ this.zones = data.zones;
    /** @type {string[]} worst last */ this.states = data.states;
    this.map = data.map;
    this.messages = data.messages;
    this.locale = data.locale;
    const clock = { timeZone: data.timezone, hourCycle: "h23", hour: "2-digit", minute: "2-digit" };
    this.minuteFormat = new Intl.DateTimeFormat(this.locale, clock);
    this.secondFormat = new Intl.DateTimeFormat(this.locale, { ...clock, second: "2-digit" });
    this.dayFormat = new Intl.DateTimeFormat(this.locale, { ...clock, day: "numeric", month: "short" });
    this.dateFormat = new Intl.DateTimeFormat(this.locale, {
      timeZone: data.timezone, weekday: "long", day: "numeric", month: "long",
    });
    this.percentFormat = new Intl.NumberFormat(this.locale, { style: "percent", maximumFractionDigits: 0 });
    /** @type {Map<number, Intl.NumberFormat>} */ this.numberFormats = new Map();
  }

  /**
   * The text of a key, with {name} replaced by values.
   * @param {string} key
   * @param {Record<string, string | number>} [values]
   */
  say(key, values = {}) {
    return (this.messages[key] ?? key).replace(/\{(\w+)\}/g, (_all, name) => String(values[name] ?? ""));
  }

  /** @param {number} value @param {number} [decimals] */
  number(value, decimals = 0) {
    if (!this.numberFormats.has(decimals)) {
      const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
      this.numberFormats.set(decimals, new Intl.NumberFormat(this.locale, digits));
    }
    return this.numberFormats.get(decimals).format(value);
  }

  /** @param {number} share 0 to 1 */
  percent(share) {
    return this.percentFormat.format(share);
  }

  /** Time of day to the second. @param {number} moment */
  second(moment) {
    return this.secondFormat.format(moment);
  }

  /** Time of day, with the date if it was not today in the city. @param {number} moment @param {number} now */
  minute(moment, now) {
    return (this.date(moment) === this.date(now) ? this.minuteFormat : this.dayFormat).format(moment);
  }

  /** @param {number} now */
  date(now) {
    return this.dateFormat.format(now);
  }

  /** How long ago, in the largest unit that fits. @param {number} milliseconds */
  age(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 1) return this.say("age.now");
    if (seconds < 90) return this.say("age.seconds", { n: seconds });
    if (seconds < 5400) return this.say("age.minutes", { n: Math.round(seconds / 60) });
    if (seconds < 129_600) return this.say("age.hours", { n: Math.round(seconds / 3600) });
    return this.say("age.days", { n: Math.round(seconds / 86_400) });
  }

  /** A value with its unit. @param {string} kpi @param {number} value */
  quantity(kpi, value) {
    const { decimals, unit } = this.kpis[kpi];
    return unit ? `${this.number(value, decimals)}\u00a0${unit}` : this.number(value, decimals);
  }

  /** The name of the band a KPI is in. @param {string} kpi @param {string} state */
  bandLabel(kpi, state) {
    const band = this.kpis[kpi]?.bands.find((one) => one.state === state);
    return band ? band.label : this.stateWord(state);
  }

  /** The word for a state in general. @param {string} state */
  stateWord(state) {
    return this.say(`state.${state}`);
  }

  /** How bad a state is; -1 for none. @param {string | undefined} state */
  severity(state) {
    return state ? this.states.indexOf(state) : -1;
  }
}
