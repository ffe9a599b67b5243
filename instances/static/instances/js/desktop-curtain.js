// What is drawn over the picture while there is no connection: the last frame dimmed, why, and what to do.
const TEXTS = {
  connecting: ["Connecting", "Your desktop is on its way."],
  interrupted: ["Connection interrupted", "Your programs go on running."],
  stopped: ["This desktop is not running", "Your home and your data are safe."],
  removed: ["You were disconnected", "You may no longer be in this desktop."],
  gone: ["This desktop is not there any more", "It has been deleted. Your home and your data stay."],
  "signed-out": ["You are signed out", "Sign in again to go on. Your programs go on running."],
  left: ["You left the desktop", "Your programs go on running."],
};

const curtain = document.getElementById("curtain");
const frozen = document.getElementById("frozen");
const find = (name) => curtain.querySelector(`[data-slot=${name}]`);
let counting;

export function freeze(canvas) {
  if (!canvas.width || !canvas.isConnected) return;
  const { left, top, width, height } = canvas.getBoundingClientRect();
  frozen.width = canvas.width;
  frozen.height = canvas.height;
  frozen.getContext("2d").drawImage(canvas, 0, 0);
  Object.assign(frozen.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  frozen.hidden = false;
}

export function draw(kind, { reason = "", seconds = 0 } = {}) {
  clearInterval(counting);
  const [title, text] = TEXTS[kind];
  find("title").textContent = title;
  find("text").textContent = [reason, text].filter(Boolean).join(" ");
  curtain.dataset.kind = kind;
  for (const part of curtain.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(kind);
  }
  const until = performance.now() + seconds * 1000;
  const count = () => {
    find("countdown").textContent = `Trying again in ${Math.max(0, Math.ceil((until - performance.now()) / 1000))} s`;
  };
  count();
  if (seconds) counting = setInterval(count, 200);
  curtain.hidden = false;
}

export function lift() {
  clearInterval(counting);
  curtain.hidden = true;
  frozen.hidden = true;
}
