// One file on its way to the server: in parts, by the REST API, going on after every break. No page in here: `told` is
// called with the upload whenever something about it has changed.
//
// The server knows how much it has; after anything unexpected we ask it and go on from there. Never more than one part
// of the file is in memory (the whole only to hash it, and only up to HASHED_MAX).

import { HASHED_MAX, HEAD, Meter, fingerprint, part, verdict, wait } from "./transfer.js";

const API = "/api/v1/uploads";
const AT_ONCE = 3;
const REFUSED_MAX = 20;
const TOLD_EVERY_MS = 150;

export class Upload {
  state = "waiting"; // waiting | sending | checking | lost | paused | missing | done | failed
  offset = 0;
  wrong = "";
  retryAt = 0;
  sha256 = undefined;
  made = false;
  stale = false; // whether the file can no longer be read as it was chosen
  id = undefined;
  #meter = new Meter();
  #stop = new AbortController();
  #key = fresh();
  #toldAt = 0;
  #whole = undefined;
  #finishing = undefined;

  constructor(name, size, told) {
    this.name = name;
    this.size = size;
    this.told = told;
  }

  // The same file as one that is kept has the same key.
  static async keyOf(file) {
    return fingerprint(file, new Uint8Array(await file.slice(0, HEAD).arrayBuffer()));
  }

  get rate() { return this.state === "sending" ? this.#meter.rate : 0; }
  get left() { return this.state === "sending" ? this.#meter.left(this.size - this.offset) : undefined; }
  get busy() { return ["waiting", "sending", "checking", "lost"].includes(this.state); }

  // Send the file, or what is missing of it. Returns when it is done, paused or has failed.
  async run(file) {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#say("waiting");
    let failures = 0;
    let refused = 0;
    let sure = false; // whether we know where the upload ends
    await slot();
    try {
      for (;;) {
        signal.throwIfAborted();
        const before = this.offset;
        const answer = await this.#step(file, sure, signal);
        const way = verdict(answer.status);
        if (way === "done") {
          sure = true;
          if (this.offset > before || this.state === "done") failures = refused = 0;
          if (this.state === "done") return;
          continue;
        }
        sure = false;
        this.#meter.restart();
        if (way === "gone") {
          if (++refused > REFUSED_MAX) return this.#fail("The server does not keep this upload.");
          this.#forget();
        } else if (way === "login") {
          return this.#say("paused", "Your session has ended. Log in in another tab, then resume.");
        } else if (way === "failed" || (way === "elsewhere" && ++refused > REFUSED_MAX)) {
          if (answer.status === 422) this.#forget();
          return this.#fail(words(answer));
        } else {
          failures += 1;
          if (answer.status === 0) await file.slice(0, 1).arrayBuffer(); // no answer: is it the file that has gone?
          const pause = wait(failures, Math.random());
          this.retryAt = Date.now() + pause;
          if (way === "again") this.#say("lost", answer.status ? words(answer) : "");
          await sleep(pause, signal);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof DOMException)) throw error;
      this.stale = true;
      this.#fail("The file has changed or moved since it was chosen. Choose it again.");
    } finally {
      free();
    }
  }

  pause() {
    if (!this.busy) return;
    this.#stop.abort();
    this.#meter.restart();
    this.#say("paused");
  }

  // Stop, and let the server forget what it has of it. What is just being finished may be an artifact by now: its answer says.
  async cancel() {
    this.#stop.abort();
    this.state = "cancelled";
    await this.#finishing;
    const gone = this.sha256 ? this.made && `/api/v1/artifacts/${this.sha256}` : this.id && `${API}/${this.id}`;
    if (gone) await fetch(gone, { method: "DELETE" }).catch(() => undefined);
  }

  // One question to the server: begin, ask where it ends, send a part, or finish.
  async #step(file, sure, signal) {
    if (this.id === undefined) {
      const begun = await json("POST", API, { filename: this.name, size: this.size }, signal, this.#key);
      if (verdict(begun.status) === "done") ({ id: this.id, offset: this.offset } = begun.body);
      this.#say("sending");
      return begun;
    }
    if (!sure) {
      const shown = await json("GET", `${API}/${this.id}`, undefined, signal);
      if (verdict(shown.status) === "done") this.offset = shown.body.offset;
      if (verdict(shown.status) === "done") this.#say("sending");
      return shown;
    }
    const next = part(this.offset, this.size);
    if (next === undefined) return this.#finish(file, signal);
    this.#say("sending");
    this.#meter.add(Date.now(), this.offset);
    const sent = await patch(`${API}/${this.id}`, file.slice(next.start, next.end), next.start, signal, (loaded) => {
      this.offset = Math.min(next.start + loaded, next.end);
      this.#meter.add(Date.now(), this.offset);
      this.#say("sending");
    });
    this.offset = verdict(sent.status) === "done" ? sent.body.offset : next.start;
    return sent;
  }

  async #finish(file, signal) {
    this.#say("checking");
    this.#whole ??= await digest(file);
    signal.throwIfAborted();
    const body = this.#whole ? { sha256: this.#whole } : {};
    this.#finishing = json("POST", `${API}/${this.id}/finish`, body, undefined, `${this.id}-finish`);
    const ended = await this.#finishing;
    if (verdict(ended.status) === "done") {
      this.sha256 = ended.body.sha256;
      this.made = ended.status === 201;
      this.#say("done");
    }
    return ended;
  }

  #forget() {
    this.id = undefined;
    this.offset = 0;
    this.#key = fresh();
  }

  #fail(words) {
    this.#say("failed", words);
  }

  #say(state, wrong = "") {
    if (this.state === "cancelled") return;
    const news = state !== this.state || wrong !== this.wrong;
    if (!news && Date.now() - this.#toldAt < TOLD_EVERY_MS) return;
    this.#toldAt = Date.now();
    this.state = state;
    this.wrong = wrong;
    this.told(this);
  }
}

// The SHA-256 of a file that is small enough; nothing of others, or where the browser does not give us the function
// (it does on https and on localhost): then the server's own digest is what we show.
async function digest(file) {
  if (file.size > HASHED_MAX || !crypto.subtle) return undefined;
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A name for a request, so that sent again it happens once. (randomUUID is there on https and on localhost only.)
export function fresh() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("-");
}

// An answer as { status, body }; status 0 where none came.
export async function json(method, address, body, signal, key) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (key) headers["Idempotency-Key"] = key;
  try {
    const answer = await fetch(address, { method, headers, signal, body: body && JSON.stringify(body) });
    return { status: answer.status, body: await answer.json().catch(() => ({})) };
  } catch {
    signal?.throwIfAborted();
    return { status: 0, body: {} };
  }
}

// As `json`, for raw bytes; an XMLHttpRequest because only that says how much of them has gone.
function patch(address, blob, offset, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    const end = () => {
      signal.removeEventListener("abort", abort);
      if (signal.aborted) reject(signal.reason);
      else resolve({ status: request.status, body: parsed(request.responseText) });
    };
    request.open("PATCH", address);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Upload-Offset", String(offset));
    request.timeout = 300_000;
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("loadend", end);
    signal.addEventListener("abort", abort);
    request.send(blob);
  });
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

export function words({ status, body }) {
  if (!body.detail) return status ? `The server answered ${status}.` : "The server does not answer.";
  const told = body.detail[0].toUpperCase() + body.detail.slice(1).replace(/\.$/, "");
  return `${told}.${body.hint ? ` ${body.hint}` : ""}`;
}

// A break that ends early when the browser says that the network is back.
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const ended = new AbortController();
    const after = (then) => () => { clearTimeout(timer); ended.abort(); then(); };
    const timer = setTimeout(after(resolve), ms);
    addEventListener("online", after(resolve), { signal: ended.signal });
    signal.addEventListener("abort", after(() => reject(signal.reason)), { signal: ended.signal });
  });
}

// Not all files at once: the browser has few connections, and the first one done is worth more than all begun.
let taken = 0;
const queue = [];

async function slot() {
  while (taken >= AT_ONCE) await new Promise((resolve) => queue.push(resolve));
  taken += 1; // whoever was stopped meanwhile finds out at its first step, and gives it back
}

function free() {
  taken -= 1;
  queue.shift()?.();
}
