// `[data-copy=id]` copies the text of that element and says so.
import { toast } from "./toasts.js";

// Pages replace their parts: what is clicked may have come later.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    toast("Copied.", "success");
  } catch {
    getSelection().selectAllChildren(source);
    toast("Your browser does not let us copy. It is selected: press Ctrl+C.", "danger");
  }
});
