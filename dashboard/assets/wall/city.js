/** The state of the city as the stream tells it, and the server's clock. */

/**
 * @typedef {{kpi: string, zone: string, state: string, value?: number, last?: number, band?: string, coverage?: number,
 *            windowEnd?: number, observedUntil?: number, difference?: number, note?: string}} Cell
 * @typedef {{sequence: number, now: number, build: string, reset?: boolean, databaseAwaySince?: number, delay?: number,
 *            cells?: Cell[], points?: Record<string, [number, number | null][]>, families?: object[],
 *            incidents?: object[]}} Frame
 */

const LOST_AFTER = 3000;

export class City {
  constructor() {
    /** @type {Map<string, Cell>} by "kpi/zone" */ this.cells = new Map();
    /** @type {Map<string, Map<number, number | null>>} window end to value, by KPI */ this.points = new Map();
    /** @type {object[]} */ this.families = [];
    /** @type {object[]} */ this.incidents = [];
    /** @type {Frame | null} */ this.frame = null;
    this.taken = 0;
    this.silence = () => 0;
  }

  /** @param {() => number} silence milliseconds since something was heard */
  watch(silence) {
    this.silence = silence;
  }

  /** @param {Frame} frame */
  take(frame) {
    if (frame.reset) {
      this.cells.clear();
      this.points.clear();
    }
    for (const cell of frame.cells ?? []) this.cells.set(`${cell.kpi}/${cell.zone}`, cell);
    for (const [kpi, points] of Object.entries(frame.points ?? {})) this.#extend(kpi, points);
    if (frame.families) this.families = frame.families;
    if (frame.incidents) this.incidents = frame.incidents;
    this.frame = frame;
    this.taken = performance.now();
  }

  /** @param {string} kpi @param {[number, number | null][]} points */
  #extend(kpi, points) {
    if (!this.points.has(kpi)) this.points.set(kpi, new Map());
    const known = this.points.get(kpi);
    for (const [end, value] of points) known.set(end, value);
  }

  /** Points of a KPI's sparkline since a moment, oldest first; older ones are forgotten. @param {string} kpi @param {number} since */
  pointsSince(kpi, since) {
    const known = this.points.get(kpi) ?? new Map();
    for (const end of known.keys()) if (end < since) known.delete(end);
    return [...known.entries()].sort((a, b) => a[0] - b[0]);
  }

  /** @param {string} kpi @param {string} zone @returns {Cell | undefined} */
  cell(kpi, zone) {
    return this.cells.get(`${kpi}/${zone}`);
  }

  /** The server's clock: this machine's own may be wrong, and nobody sets the clock of a wall. */
  now() {
    return this.frame ? this.frame.now + (performance.now() - this.taken) : Date.now();
  }

  /** @returns {"connecting" | "never" | "lost" | "database" | "live"} */
  link() {
    if (!this.frame) return this.silence() > LOST_AFTER ? "never" : "connecting";
    if (this.silence() > LOST_AFTER) return "lost";
    return this.frame.databaseAwaySince ? "database" : "live";
  }

  /** Age of the newest stored observation in milliseconds, or null. */
  delay() {
    return this.frame?.delay === undefined ? null : this.frame.delay + (performance.now() - this.taken);
  }
}
