// What a reload must not lose: which uploads are open, what the server has of them, and what was typed. Of files we may
// keep no more than their names: the visitor chooses them again. Where the browser keeps nothing (private windows), all
// of it lasts as long as the page.

function quietly(work) {
  try { return work(); } catch { return undefined; }
}

export class Kept {
  #prefix;
  #typed;

  constructor(tenant) {
    this.#prefix = `otaru:upload:${tenant}:`;
    this.#typed = `otaru:release:${tenant}`;
  }

  // Records of uploads, oldest first. Each has its own place, so that two windows don't undo each other's.
  all() {
    const names = quietly(() => Object.keys(localStorage)) ?? [];
    return names.filter((name) => name.startsWith(this.#prefix))
      .map((name) => quietly(() => JSON.parse(localStorage.getItem(name))))
      .filter((record) => record && typeof record.key === "string" && Number.isFinite(record.size))
      .sort((a, b) => a.at - b.at);
  }

  keep(record) {
    quietly(() => localStorage.setItem(this.#prefix + record.key, JSON.stringify(record)));
  }

  forget(key) {
    quietly(() => localStorage.removeItem(this.#prefix + key));
  }

  get typed() {
    return quietly(() => JSON.parse(sessionStorage.getItem(this.#typed))) ?? {};
  }

  set typed(values) {
    quietly(() => sessionStorage.setItem(this.#typed, JSON.stringify(values)));
  }
}
