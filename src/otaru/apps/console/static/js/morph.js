// What a page's own renewal leaves as it is: menus, dialogs and sections that the visitor has opened, and what was typed
// into them. Hidden fields of a form are the page's own: they say what the page shows.
/* global Idiomorph */

function typed(name, node) {
  return (name === "value" || name === "checked") && node.type !== "hidden" && node.closest("dialog[open], details[open]");
}

addEventListener("DOMContentLoaded", () => {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => name !== "open" && !typed(name, node);
});
