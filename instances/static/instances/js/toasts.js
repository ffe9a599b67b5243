// A sentence that appears in the corner and goes by itself. Also shown when the server sends `HX-Trigger: toast`.
export function toast(text, level = "info") {
  const box = document.getElementById("toasts");
  const element = document.createElement("div");
  element.className = `toast-note toast-${level}`;
  element.textContent = text;
  if (level === "danger") element.setAttribute("role", "alert");
  box.append(element);
  setTimeout(() => {
    element.classList.add("toast-gone");
    setTimeout(() => element.remove(), 300);
  }, level === "danger" ? 9000 : 5000);
}

document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.level));
