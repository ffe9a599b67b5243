// Leaves into the desktop as soon as it is ready, and keeps unfolded details unfolded.
const steps = document.getElementById("steps");
let unfolded = false;

function follow() {
  const panel = steps.querySelector("[data-state]");
  if (panel.dataset.leave) location.replace(panel.dataset.leave);
  steps.dataset.poll = ["queued", "starting", "restarting"].includes(panel.dataset.state) ? "2" : "";
  steps.querySelector("[data-keep-open]").open = unfolded;
}

steps.addEventListener("toggle", (event) => { unfolded = event.target.open; }, true);
steps.addEventListener("htmx:afterSwap", follow);
follow();
