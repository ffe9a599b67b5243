// One WebSocket tells the page which instance changed; what it is now is asked over HTTP. While the socket is down,
// parts with `data-poll` (seconds) ask by themselves. Others listen for `visa:instance` on the document.
import { refresh, refreshAll, refreshInstance, refreshLine } from "./refresh.js";

const HINT_AFTER = 4000, SLOWEST = 15000;
const hint = document.getElementById("live-hint");
let wait = 500, up = false, hintTimer;

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/events`);
  socket.onopen = () => {
    up = true;
    wait = 500;
    clearTimeout(hintTimer);
    hintTimer = undefined;
    if (hint) hint.hidden = true;
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.topic === "resync") refreshAll();
    if (message.topic === "line") refreshLine();
    if (message.topic === "people" || message.topic === "request") refreshInstance(message.instance);
    if (message.topic === "instance") {
      refreshInstance(message.instance, { isNew: message.state === "queued" });
      document.dispatchEvent(new CustomEvent("visa:instance", { detail: message }));
    }
  };
  socket.onclose = () => {
    up = false;
    hintTimer ??= setTimeout(() => { if (hint && !up) hint.hidden = false; }, HINT_AFTER);
    setTimeout(connect, wait * (0.75 + Math.random() / 2)); // not all pages at once after a restart
    wait = Math.min(wait * 2, SLOWEST);
  };
}

function poll() {
  if (up || document.hidden) return;
  for (const part of document.querySelectorAll("[data-poll]")) if (part.dataset.poll) refresh(part);
}

if (document.querySelector("[data-instance], [data-live-list], [data-live]")) {
  connect();
  setInterval(poll, 2000);
}
