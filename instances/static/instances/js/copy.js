// `[data-copy=id]` copies the text of that element and says so.
import { toast } from "./toasts.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      toast("Copied.", "success");
    } catch {
      getSelection().selectAllChildren(source);
      toast("Your browser does not let us copy. It is selected: press Ctrl+C.", "danger");
    }
  });
}
