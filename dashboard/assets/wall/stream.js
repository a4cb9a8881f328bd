/** The live stream: EventSource, and a watchdog for what EventSource does not notice. */

const SILENT = 6000;
const PAUSE = { first: 1000, most: 5000 };

export class LiveStream {
  /** @param {string} address @param {(frame: import("./city.js").Frame) => void} onFrame */
  constructor(address, onFrame) {
    this.address = address;
    this.onFrame = onFrame;
    this.heard = performance.now();
    this.opened = performance.now();
    this.pause = PAUSE.first;
    this.source = null;
    setInterval(() => this.#check(), 500);
  }

  open() {
    this.source?.close();
    this.opened = performance.now();
    this.source = new EventSource(this.address);
    this.source.addEventListener("frame", (event) => {
      this.heard = performance.now();
      this.pause = PAUSE.first;
      this.onFrame(JSON.parse(event.data));
    });
  }

  /** Milliseconds since the last frame; the server sends one every second, news or not. */
  silence() {
    return performance.now() - this.heard;
  }

  /**
   * EventSource reconnects by itself after a broken connection, but gives up for good on an error status, and waits
   * for ever on a connection that died without a word: then a new one is opened, later each time.
   */
  #check() {
    const closed = this.source?.readyState === EventSource.CLOSED;
    const waited = performance.now() - this.opened;
    if (closed ? waited > this.pause : this.silence() > SILENT && waited > SILENT) {
      this.pause = Math.min(PAUSE.most, this.pause * (1.5 + Math.random()));
      this.open();
    }
  }
}
