// What is wrong with a form, beside its fields. The server says it in the HX-Trigger header: {"invalid": {field: sentence}}.
let count = 0;

// Shows the sentences; whether there was a field for any of them.
export function showInvalid(form, header) {
  clearInvalid(form);
  const wrong = Object.entries(JSON.parse(header ?? "{}").invalid ?? {});
  let first = null;
  for (const [name, sentence] of wrong) {
    const field = form.elements.namedItem(name);
    if (!(field instanceof HTMLElement) || field.type === "hidden" || field.type === "submit") continue;
    const words = document.createElement("p");
    words.className = "invalid-feedback d-block";
    words.id = `wrong-${++count}`;
    words.textContent = sentence;
    field.after(words);
    field.classList.add("is-invalid");
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", words.id);
    first ??= field;
  }
  first?.focus();
  return first !== null;
}

export function clearInvalid(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    document.getElementById(field.getAttribute("aria-describedby"))?.remove();
    field.classList.remove("is-invalid");
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}
