/** Against burn-in: the whole picture moves by a pixel now and then, on a small round, without a transition. */

const EVERY = 60_000;
const ROUND = [[0, 0], [1, 0], [2, 1], [1, 2], [0, 2], [-1, 1], [-2, 0], [-1, -1], [0, -2], [1, -1]];

/** @param {HTMLElement} root */
export function startDrift(root) {
  let step = 0;
  setInterval(() => {
    step = (step + 1) % ROUND.length;
    const [x, y] = ROUND[step];
    root.style.transform = `translate(${x}px, ${y}px)`;
  }, EVERY);
}
