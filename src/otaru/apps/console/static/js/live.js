// Keeps a page true while it is open. The stream only says that something changed; the parts marked with
// hx-trigger="otaru:changed from:body" then ask for themselves anew. Without a stream the page works by reload, and
// says since when it may be out of date.

const LATE_MS = 40_000; // the server says something at least every 15 s
const light = document.getElementById("live");
const address = document.querySelector("main")?.dataset.live;
let source, since, late;

function say(state, words) {
  light.dataset.state = state;
  light.querySelector(".live-words").textContent = words;
  light.title = words;
}

function gone() {
  since ??= new Date();
  document.body.dataset.stale = "";
  say("gone", `not live since ${since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })}`);
}

function heard() {
  clearTimeout(late);
  late = setTimeout(gone, LATE_MS);
  const returned = since !== undefined;
  since = undefined;
  delete document.body.dataset.stale;
  say("on", "live");
  return returned;
}

function changed() {
  document.body.dispatchEvent(new CustomEvent("otaru:changed"));
}

function open() {
  source = new EventSource(address);
  source.addEventListener("open", () => { if (heard()) changed(); });
  source.addEventListener("alive", heard);
  source.addEventListener("changed", () => { heard(); changed(); });
  source.addEventListener("error", () => {
    gone();
    // The browser tries again by itself, unless the server refused; then we do, slowly.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 5_000 + Math.random() * 5_000);
  });
}

if (light && address) {
  say("off", "connecting");
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
} else if (light) {
  light.hidden = true;
}
