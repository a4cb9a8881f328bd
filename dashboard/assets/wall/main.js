/**
 * The wall in the browser: waits until Dash has drawn the page, then writes live values into it.
 * Nothing here knows a KPI: which tiles exist and what their words are comes with the page.
 */
import { City } from "./city.js";
import { startDrift } from "./drift.js";
import { Header } from "./header.js";
import { DistrictMap } from "./map.js";
import { Networks } from "./networks.js";
import { Page } from "./page.js";
import { LiveStream } from "./stream.js";
import { Ticker } from "./ticker.js";
import { Tiles } from "./tiles.js";

const RELOAD_PAUSE = 30_000;

/** @param {HTMLElement} root the element the server drew as #wall */
function start(root) {
  const page = new Page(root);
  document.documentElement.lang = page.language;
  const city = new City();
  const header = new Header(root, page, city);
  const views = [new Tiles(root, page, city), new DistrictMap(root, page, city), new Networks(root, page, city), new Ticker(root, page, city)];

  const stream = new LiveStream("/api/v1/live", (frame) => {
    if (frame.build !== page.build) reloadOnce(frame.build);
    city.take(frame);
    views.forEach((view) => view.update(frame));
    header.update();
  });
  city.watch(() => stream.silence());
  setInterval(() => {
    header.update();
    views.forEach((view) => view.tick());
  }, 500);
  startDrift(root);
  stream.open();
}

/**
 * After an upgrade the page itself is old: load it again, but not in a circle if a proxy keeps handing out the old one.
 * @param {string} build what the server is now
 */
function reloadOnce(build) {
  const [known, at] = (sessionStorage.getItem("pulso-reload") ?? "").split("@");
  if (known === build && Date.now() - Number(at) < RELOAD_PAUSE) return;
  sessionStorage.setItem("pulso-reload", `${build}@${Date.now()}`);
  location.reload();
}

/** Dash draws asynchronously: look for the wall now and after every change until it is there. */
function whenDrawn() {
  const root = document.getElementById("wall");
  if (root) return start(root);
  new MutationObserver((_changes, observer) => {
    const drawn = document.getElementById("wall");
    if (!drawn) return;
    observer.disconnect();
    start(drawn);
  }).observe(document.body, { childList: true, subtree: true });
}

whenDrawn();
