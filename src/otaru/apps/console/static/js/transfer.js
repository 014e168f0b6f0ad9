// What an upload in parts has to reckon: which part comes next, how fast it goes, how long to wait after a break, and
// what an answer means. Pure: no page, no network, no clock.

export const PART = 4 * 1024 * 1024;
export const HASHED_MAX = 64 * 1000 * 1000;
export const HEAD = 64 * 1024;
const WINDOW_MS = 8_000;
const SURE_MS = 2_000; // before that, most of what has gone is in the buffers on the way
const WAIT_MAX_MS = 30_000;

// The part that begins at `offset`, or nothing where the file ends there.
export function part(offset, size) {
  return offset < size ? { start: offset, end: Math.min(offset + PART, size) } : undefined;
}

// Bytes per second over the last seconds; `samples` are [ms, bytes so far], oldest first, of one run without a break.
export class Meter {
  #samples = [];

  add(now, bytes) {
    this.#samples.push([now, bytes]);
    while (this.#samples.length > 2 && now - this.#samples[1][0] >= WINDOW_MS) this.#samples.shift();
  }

  // After a break the time of the break does not count.
  restart() {
    this.#samples = [];
  }

  get rate() {
    if (this.#samples.length < 2) return 0;
    const [[begun, before], [now, bytes]] = [this.#samples[0], this.#samples.at(-1)];
    return now - begun >= SURE_MS && bytes > before ? ((bytes - before) * 1000) / (now - begun) : 0;
  }

  // Seconds until `bytes` more have gone; nothing where that cannot be said.
  left(bytes) {
    const rate = this.rate;
    return rate > 0 ? Math.ceil(bytes / rate) : undefined;
  }
}

// Milliseconds until the try after `failures` in a row: 1, 2, 4 … 30 s, each by `chance` (0..1) up to a quarter shorter.
export function wait(failures, chance) {
  return Math.round(Math.min(1000 * 2 ** (failures - 1), WAIT_MAX_MS) * (1 - chance / 4));
}

// What to do about an answer. No answer at all has status 0.
export function verdict(status) {
  if (status >= 200 && status < 300) return "done";
  if (status === 401) return "login";
  if (status === 404) return "gone"; // left alone for so long that the server forgot it
  if (status === 409) return "elsewhere"; // the upload ends somewhere else than we thought
  if (status === 0 || status === 408 || status === 429 || (status >= 500 && status !== 507)) return "again";
  return "failed";
}

// Bytes in a unit that keeps them short; as rendering.py has it.
export function bytes(octets) {
  let value = octets;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return unit === "B" || value >= 100 ? `${value.toFixed(0)} ${unit}` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

// Tells files apart, so that the same one, chosen again, goes on where it was. The server compares the bytes
// themselves by their SHA-256: this is no proof of anything (FNV-1a, 32 bits, over the beginning).
export function fingerprint(file, head) {
  let hash = 0x811c9dc5;
  for (const byte of head) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return [file.name, file.size, file.lastModified, hash.toString(16)].join("/");
}

// Hardware as people list it: `rpi4, rpi5:b`.
export function models(text) {
  return text.split(",").map((model) => model.trim()).filter((model) => model !== "");
}

const MODEL = /^[A-Za-z0-9][A-Za-z0-9._ /+-]{0,127}(:[A-Za-z0-9][A-Za-z0-9._ /+-]{0,127})?$/;

export function isModel(text) {
  return MODEL.test(text);
}
