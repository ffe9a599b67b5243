// Asking the server anew for a part of the page: every such part has `hx-trigger="refresh"`.
export function refresh(element) {
  element.dispatchEvent(new CustomEvent("refresh", { bubbles: false })); // a card must not refresh its list
}

const lists = () => document.querySelectorAll("[data-live-list]");
let soon;

export function refreshInstance(id, { isNew = false } = {}) {
  const parts = document.querySelectorAll(`[data-instance="${CSS.escape(id)}"]`);
  parts.forEach(refresh);
  if (parts.length || !(isNew || document.querySelector(`[data-row="${CSS.escape(id)}"]`))) return;
  clearTimeout(soon);
  soon = setTimeout(() => lists().forEach(refresh), 500);
}

let turn;

// Parts that show a position in line. Everybody's page hears of every move: not all of them ask at once, nor each time.
export function refreshLine() {
  turn ??= setTimeout(() => {
    turn = undefined;
    document.querySelectorAll("[data-in-line]").forEach((part) => refresh(part.closest("[hx-get]")));
  }, 200 + Math.random() * 1300);
}

export function refreshAll() {
  const found = lists();
  (found.length ? found : document.querySelectorAll("[data-instance]")).forEach(refresh);
}
