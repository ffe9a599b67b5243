// Stop, restart and delete ask first and say what goes and what stays. Without scripts the forms submit as they are,
// and deleting leads to the instance's own page.
const dialog = document.getElementById("confirm");

function ask(kind, name, action) {
  for (const part of dialog.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind;
  dialog.querySelector("[data-slot=name]").textContent = name;
  dialog.querySelector("form").setAttribute("action", action);
  dialog.showModal();
  dialog.querySelector("[data-close]").focus();
}

if (dialog) {
  document.addEventListener("submit", (event) => {
    const { confirm, name } = event.target.dataset;
    if (!confirm) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(confirm, name, event.target.getAttribute("action"));
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-confirm]");
    if (link) {
      event.preventDefault();
      ask(link.dataset.confirm, link.dataset.name, link.dataset.action);
    }
    if (event.target === dialog || event.target.closest("#confirm [data-close]")) dialog.close();
  });
  dialog.addEventListener("submit", () => dialog.close());
}
