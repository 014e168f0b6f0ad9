// Keeps a page true while it is open. The stream only says that something changed; the parts marked with
// hx-trigger="otaru:changed from:body" then ask for themselves anew. Without a stream the page works by reload, and
// says since when it may be out of date. What is dear to ask for waits for "otaru:changed-slowly".
//
// A browser opens six connections to a host, so its tabs share one stream: who holds the lock has it and tells the
// others. Where there are no locks (plain HTTP to another machine), each tab in view has a stream of its own.

const LATE_MS = 40_000; // the server says something at least every 15 s
const SLOW_MS = 5_000;
const light = document.getElementById("live");
const { live: address, tenant } = document.querySelector("main")?.dataset ?? {};
const name = `otaru-stream:${tenant}`; // of one tenant: the stream of another tells nothing of this page
let seen = address && new URL(address, location).searchParams.get("after"); // the place in the record this page knows of
let source, others, since, late, again, slowly;
let leave = () => {};

function say(state, words) {
  light.dataset.state = state;
  light.querySelector(".live-words").textContent = words;
  light.title = words;
}

function gone(from = new Date()) {
  since ??= from;
  document.body.dataset.stale = "";
  say("gone", `not live since ${since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })}`);
}

function changed() {
  document.body.dispatchEvent(new CustomEvent("otaru:changed"));
  slowly ??= setTimeout(changedSlowly, SLOW_MS);
}

function changedSlowly() {
  slowly = undefined;
  if (document.hidden) document.addEventListener("visibilitychange", changedSlowly, { once: true });
  else document.body.dispatchEvent(new CustomEvent("otaru:changed-slowly"));
}

function behind(place) {
  const [mine, theirs] = [seen, place].map((text) => text.split("-").map(BigInt));
  return mine[0] < theirs[0] || (mine[0] === theirs[0] && mine[1] < theirs[1]);
}

// The stream lives, and has told of everything up to `place`. Asks anew where this page missed something.
function heard(place) {
  clearTimeout(late);
  late = setTimeout(silent, LATE_MS);
  const missed = since !== undefined || behind(place);
  if (behind(place)) seen = place;
  since = undefined;
  delete document.body.dataset.stale;
  say("on", "live");
  if (missed) changed();
}

function silent() {
  gone();
  if (source) tell();
  else if (others && !document.hidden) { leave(); queue({ steal: true }); } // who has the stream may be asleep
}

function tell() {
  if (light.dataset.state !== "off") others?.postMessage({ seen, since: since?.getTime() });
}

function open() {
  const from = new URL(address, location);
  from.searchParams.set("after", seen);
  source = new EventSource(from);
  const told = (event) => { heard(event.lastEventId || seen); tell(); };
  for (const kind of ["open", "alive", "changed"]) source.addEventListener(kind, told);
  source.addEventListener("error", () => {
    gone();
    tell();
    // The browser tries again by itself, unless the server refused; then we do, slowly.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(open, 5_000 + Math.random() * 5_000);
  });
}

function close() {
  clearTimeout(again);
  source?.close();
  source = undefined;
}

// Waits for the lock, which a tab that closes gives back, and has the stream while it holds it.
function queue(how) {
  const away = new AbortController();
  const left = new Promise((done) => { away.signal.addEventListener("abort", done); });
  leave = () => { away.abort(); close(); };
  navigator.locks.request(name, how ?? { signal: away.signal }, () => {
    if (away.signal.aborted) return undefined;
    open();
    return left;
  }).catch(() => {
    if (away.signal.aborted) return;
    close(); // another took the lock, since it had heard nothing for long
    queue();
  });
}

function share() {
  others = new BroadcastChannel(name);
  others.addEventListener("message", ({ data }) => {
    if (data.asks) { if (source) tell(); }
    else if (source) return; // who has the stream knows better
    else if (data.since === undefined) heard(data.seen);
    else { clearTimeout(late); late = setTimeout(silent, LATE_MS); gone(new Date(data.since)); }
  });
  others.postMessage({ asks: true });
  late = setTimeout(silent, LATE_MS);
  queue();
}

function look() {
  close();
  clearTimeout(late);
  if (document.hidden) return;
  if (since === undefined) say("off", "connecting");
  open();
}

function alone() {
  document.addEventListener("visibilitychange", look);
  leave = close;
  look();
}

function begin() {
  if (since === undefined) say("off", "connecting");
  if (navigator.locks && window.BroadcastChannel) share();
  else alone();
}

if (light && address) {
  begin();
  addEventListener("pagehide", () => { clearTimeout(late); leave(); others?.close(); });
  addEventListener("pageshow", (event) => { if (event.persisted) begin(); });
} else if (light) {
  light.hidden = true;
}
