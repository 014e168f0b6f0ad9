// A field for several names: Enter, a comma or leaving it makes a chip of what was typed; Backspace takes the last one.

import { isModel, models } from "./transfer.js";

export class Chips {
  #box;
  #input;
  #changed;
  #hint;
  names = [];

  constructor(box, changed) {
    this.#box = box;
    this.#input = box.querySelector("input");
    this.#changed = changed;
    this.#hint = this.#input.placeholder;
    this.#input.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === ",") && !event.isComposing) {
        event.preventDefault();
        this.commit();
      } else if (event.key === "Backspace" && this.#input.value === "" && this.names.length) {
        this.set(this.names.slice(0, -1));
      }
    });
    this.#input.addEventListener("change", () => this.commit());
    box.addEventListener("click", (event) => {
      const name = event.target.closest("[data-name]")?.dataset.name;
      if (name !== undefined) this.set(this.names.filter((other) => other !== name));
      this.#input.focus();
    });
  }

  // Make chips of what is typed. What is no hardware's name stays in the field.
  commit() {
    const typed = models(this.#input.value);
    const good = typed.filter(isModel);
    this.#input.value = typed.filter((name) => !isModel(name)).join(", ");
    if (good.length || !typed.length) this.set([...new Set([...this.names, ...good])]);
    return this.#input.value === "";
  }

  set(names) {
    this.names = names;
    for (const chip of this.#box.querySelectorAll("[data-name]")) chip.remove();
    this.#input.before(...names.map((name) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "tag chip";
      chip.dataset.name = name;
      chip.textContent = name;
      chip.setAttribute("aria-label", `Remove ${name}`);
      return chip;
    }));
    this.#input.placeholder = names.length ? "Add another" : this.#hint;
    this.#changed();
  }

  focus() {
    this.#input.focus();
  }
}
