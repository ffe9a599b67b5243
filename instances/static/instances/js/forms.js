// `data-quiet` forms are sent without leaving the page; `data-once` forms cannot be sent twice.
import { clearInvalid, showInvalid } from "./fields.js";
import { refreshInstance } from "./refresh.js";
import { toast } from "./toasts.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.matches("[data-once]")) {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    form.querySelector("button:not([type=button])")?.classList.add("is-busy");
  }
  if (!form.matches("[data-quiet]")) return;
  event.preventDefault();
  const action = form.getAttribute("action");
  clearInvalid(form);
  await window.htmx.ajax("POST", action, { source: form, swap: "none" });
  if (form.querySelector("[aria-invalid]")) return; // what was typed stays, to be mended
  const [, instance] = action.match(/\/instances\/([0-9a-f-]{36})\//) ?? [];
  if (instance) refreshInstance(instance);
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector(".is-busy")?.classList.remove("is-busy");
  }
});

document.addEventListener("htmx:responseError", ({ detail: { xhr, elt } }) => {
  const told = xhr.getResponseHeader("HX-Trigger");
  const form = elt.closest("form[data-quiet]");
  if (told && form) showInvalid(form, told);
  if (told) return;
  if (xhr.status === 404) toast("It is not there any more.", "danger");
  else if (xhr.status === 403) toast("You may not do this. If the page was open for long, reload it.", "danger");
  else toast(`The portal could not do this (${xhr.status}). Nothing was lost. Try again in a moment.`, "danger");
});

document.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.requestConfig.verb !== "get") toast("The portal does not answer. Check your network.", "danger");
});

for (const field of document.querySelectorAll("form[data-autosubmit] select")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
