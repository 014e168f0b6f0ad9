// Buttons that open a dialog (data-opens="ID") or close theirs (data-closes), where the browser does not do it by their
// `command` alone; menus close when one looks elsewhere.
// One dialog asks for many things of a kind: its button says where it sends (data-action) and what it names (data-what).

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener?.dataset.action) fill(document.getElementById(opener.dataset.opens), opener.dataset);
  if (opener) show(document.getElementById(opener.dataset.opens), opener);
  if (event.target.closest("[data-closes]")) event.target.closest("dialog")?.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || opener) menu.open = false;
  }
  const copier = event.target.closest("[data-copies]");
  if (copier) copy(copier.dataset.copies).then(() => copied(copier), () => {});
});

function fill(dialog, { action, what }) {
  dialog.querySelector("form").action = action;
  for (const place of dialog.querySelectorAll("[data-names]")) place.textContent = what;
}

function copied(copier) {
  copier.dataset.copied = "";
  setTimeout(() => delete copier.dataset.copied, 1500);
}

// A browser gives the focus back to the button that opened the dialog; one in a menu is gone by then.
function show(dialog, opener) {
  const menu = opener.closest("details.menu");
  if (!dialog?.open && !opener.commandForElement) dialog?.showModal(); // by its command the browser opens it after us
  dialog?.addEventListener("close", () => {
    const at = document.activeElement;
    if (at === document.body || dialog.contains(at)) menu?.querySelector("summary").focus();
  }, { once: true });
}

async function copy(words) {
  // Without HTTPS browsers offer no clipboard, but still the old way.
  if (navigator.clipboard) return navigator.clipboard.writeText(words);
  const field = document.createElement("textarea");
  field.value = words;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("the browser copies nothing");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
