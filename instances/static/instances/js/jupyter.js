// Opens a web app on its instance's own origin. The window is opened within the click, so that no blocker minds; the
// ticket travels in a POST body from that window, which has lost its way back to the portal before it goes there.
import { seat } from "./seat.js";
import { toast } from "./toasts.js";

const open = new Map();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-jupyter]");
  if (!button) return;
  const target = window.open("about:blank", "_blank");
  if (!target) {
    toast("Your browser blocked the new tab. Allow pop-ups for this portal and try again.", "danger");
    return;
  }
  waiting(target, button.dataset.name);
  button.classList.add("is-busy");
  try {
    const { url, ticket } = await seat(button.dataset.jupyter, "jupyter");
    enter(target, url, ticket);
    open.set(button.dataset.jupyter, target);
    show();
  } catch (error) {
    target.close();
    toast(error.message, "danger");
  } finally {
    button.classList.remove("is-busy");
  }
});

function waiting(target, name) {
  target.opener = null;
  const page = target.document;
  page.title = name;
  const meta = page.createElement("meta");
  meta.name = "referrer";
  meta.content = "strict-origin"; // otherwise the POST would come from origin "null"
  page.head.append(meta);
  page.body.textContent = "Opening JupyterLab…";
  page.body.style.font = "16px system-ui";
  page.body.style.padding = "2rem";
}

function enter(target, url, ticket) {
  const page = target.document;
  const form = page.createElement("form");
  form.method = "post";
  form.action = url;
  const field = page.createElement("input");
  field.type = "hidden";
  field.name = "ticket";
  field.value = ticket;
  form.append(field);
  page.body.append(form);
  form.submit();
}

function show() {
  for (const button of document.querySelectorAll("[data-jupyter]")) {
    const target = open.get(button.dataset.jupyter);
    const label = button.querySelector("[data-label]");
    label.dataset.closed ??= label.textContent;
    const isOpen = Boolean(target && !target.closed);
    label.textContent = isOpen ? "Open in a tab" : label.dataset.closed;
    button.classList.toggle("is-open", isOpen);
  }
}

setInterval(show, 2000);
