// Loaded before anything is drawn, so that no page flashes in the other colours.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const apply = () => {
    document.documentElement.dataset.bsTheme = remembered() || (system.matches ? "dark" : "light");
  };
  apply();
  document.documentElement.classList.add("scripted");
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-switch]")) return;
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* only for this page then */ }
    document.documentElement.dataset.bsTheme = next;
  });
})();
