// One file of a new release on the page: how far its upload is, its buttons, and the hardware that it is for.

import { Chips } from "./chips.js";
import { bytes } from "./transfer.js";
import { span } from "./times.js";
import { Upload } from "./upload.js";

const TONES = { done: "done", failed: "failed", lost: "held", paused: "held", missing: "held" };

export class Row {
  #file;
  #seen;

  constructor(record, page) {
    this.key = record.key;
    this.at = record.at;
    this.page = page;
    this.upload = new Upload(record.name, record.size, () => this.show());
    const { id, offset = 0, sha256, made = false } = record;
    Object.assign(this.upload, { id, offset, sha256, made, state: sha256 ? "done" : id ? "missing" : "waiting" });
    this.element = page.template.content.firstElementChild.cloneNode(true);
    this.part = (name) => this.element.querySelector(`[data-at="${name}"]`);
    this.part("name").textContent = record.name;
    const box = this.part("hardware");
    box.querySelector("input").setAttribute("aria-label", `Hardware that ${record.name} is for`);
    this.chips = new Chips(box, () => { this.keep(); this.say(""); });
    if (record.hardware?.length) this.chips.set(record.hardware);
    const component = this.part("component");
    component.setAttribute("aria-label", `Component that ${record.name} is for`);
    component.value = record.component ?? "";
    component.addEventListener("input", () => { this.keep(); this.say(""); });
    for (const verb of ["pause", "resume", "choose", "remove"]) {
      this.part(verb).addEventListener("click", () => this[verb]());
      this.part(verb).setAttribute("aria-label", `${this.part(verb).title} ${record.name}`);
    }
    this.show();
  }

  // The file is here (again): send it, or what is missing of it.
  go(file) {
    this.#file = file;
    this.upload.run(file);
  }

  pause() { this.upload.pause(); }
  choose() { this.page.choose(); }

  resume() {
    if (this.#file) this.go(this.#file);
    else this.choose();
  }

  remove() {
    this.upload.cancel();
    this.page.remove(this);
  }

  keep() {
    const { name, size, id, offset, sha256, made, state } = this.upload;
    if (state === "cancelled") return;
    const record = { key: this.key, at: this.at, name, size, id, offset, sha256, made, hardware: this.chips?.names ?? [], component: this.part?.("component").value ?? "" };
    this.page.kept.keep(record);
  }

  // What is wrong with its hardware or its component.
  say(words) {
    this.part("wrong").hidden = !words;
    this.part("wrong-words").textContent = words;
  }

  // Whether only choosing its file again helps.
  get lacks() { return this.upload.state === "missing" || this.upload.stale; }
  get waits() { return this.upload.state !== "done"; }
  get artifact() {
    const component = this.part("component").value.trim();
    const found = { sha256: this.upload.sha256, filename: this.upload.name, hardware: this.chips.names };
    return component ? { ...found, component } : found;
  }

  show() {
    const { upload } = this;
    const news = this.#seen !== upload.state;
    this.#seen = upload.state;
    this.element.dataset.state = upload.state;
    const bar = this.part("bar");
    bar.max = upload.size;
    bar.value = upload.state === "done" ? upload.size : upload.offset;
    bar.setAttribute("aria-label", `How much of ${upload.name} is on the server`);
    this.part("words").textContent = told(upload);
    this.part("words").className = `upload-words ${TONES[upload.state] ? `tone-${TONES[upload.state]}` : "muted"}`;
    const visible = {
      pause: upload.busy && upload.state !== "checking",
      resume: upload.state === "paused" || (upload.state === "failed" && !upload.stale),
      choose: this.lacks,
    };
    for (const [verb, shown] of Object.entries(visible)) this.part(verb).hidden = !shown;
    if (!news && upload.state !== "sending") return;
    this.keep();
    this.page.changed(news ? this : undefined);
  }
}

// How far an upload is, in words.
export function told(upload) {
  const { state, size, offset, wrong } = upload;
  const part = `${bytes(offset)} of ${bytes(size)}`;
  const missing = offset ? `${part} are on the server.` : `${bytes(size)}.`;
  switch (state) {
    case "done": return `On the server · ${bytes(size)} · SHA-256 ${upload.sha256.slice(0, 12)}…`;
    case "failed": return wrong;
    case "checking": return `${bytes(size)} · comparing the SHA-256`;
    case "missing": return `${missing} Choose the file again to go on.`;
    case "paused": return wrong || `Paused at ${part}`;
    case "lost": {
      const seconds = Math.max(0, Math.ceil((upload.retryAt - Date.now()) / 1000));
      return `${wrong || "No connection."} ${part}; tries again ${seconds ? `in ${span(seconds)}` : "now"}`;
    }
    case "sending": {
      const { rate, left } = upload;
      return [part, rate && `${bytes(rate)}/s`, left !== undefined && `${span(left)} left`].filter(Boolean).join(" · ");
    }
    default: return `${bytes(size)} · waits for its turn`;
  }
}
