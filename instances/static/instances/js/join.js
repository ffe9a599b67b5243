// The code of an invitation is in the address's fragment, which is sent to nobody. Into the field with it and out of the
// address; whoever has to sign in first finds it in this tab afterwards.
const KEPT = "invitation";
const field = document.getElementById("code");
const code = location.hash.slice(1) || sessionStorage.getItem(KEPT) || "";
if (field) {
  sessionStorage.removeItem(KEPT);
  if (code) field.value = code;
} else if (code) sessionStorage.setItem(KEPT, code);
if (location.hash) history.replaceState(null, "", location.pathname);
