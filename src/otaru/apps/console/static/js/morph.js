// What a page's own renewal leaves as it is: menus, dialogs and sections that the visitor has opened.
/* global Idiomorph */

addEventListener("DOMContentLoaded", () => {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name) => name !== "open";
});
