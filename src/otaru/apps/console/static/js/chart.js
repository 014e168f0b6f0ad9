// <otaru-chart>: numbers over time, drawn by uPlot. Data in attributes, so that a page renews it like any other element;
// the drawing is in a shadow root, which a renewal leaves alone. What it shows stands beside it as text or a table.
//
//   data-times   JSON array of seconds since 1970, rising
//   data-series  JSON array of { label, values, colour?, dash? }; a colour is a CSS variable, e.g. "--series-1"
//   data-kind    "stack" (areas upon one another, the first at the bottom) or "lines"
//   data-height  pixels (180)
//   data-top     the least that the scale goes up to (for thresholds)
import uPlot from "../vendor/uPlot.esm.js";

const STYLE = `
:host { display: block; position: relative; min-width: 0; }
.note { position: absolute; z-index: 2; pointer-events: none; min-width: 150px; max-width: 260px; padding: 8px 10px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--raised); color: var(--text); box-shadow: var(--lift); font: 12px/18px var(--sans); font-variant-numeric: tabular-nums; }
.note[hidden] { display: none; }
.when { color: var(--muted); }
.line { display: flex; align-items: center; gap: 6px; }
.line span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.line b { font-weight: 600; }
.line i { width: 8px; height: 8px; border-radius: 2px; flex: none; }
.u-legend { display: none; }
`;

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const minute = new Intl.DateTimeFormat([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

class Chart extends HTMLElement {
  static observedAttributes = ["data-times", "data-series", "data-kind", "data-height", "data-top"];

  connectedCallback() {
    if (!this.shadowRoot) {
      const root = this.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      const theirs = document.createElement("link");
      theirs.rel = "stylesheet";
      theirs.href = new URL("../vendor/uPlot.min.css", import.meta.url);
      this.place = document.createElement("div");
      this.note = Object.assign(document.createElement("div"), { className: "note", hidden: true });
      root.append(theirs, this.place, this.note);
    }
    this.again = () => this.draw();
    document.addEventListener("otaru:theme", this.again);
    this.watch = new ResizeObserver(() => {
      if (this.plot && this.clientWidth) this.plot.setSize({ width: this.clientWidth, height: this.height });
    });
    this.watch.observe(this);
    this.draw();
  }

  disconnectedCallback() {
    document.removeEventListener("otaru:theme", this.again);
    this.watch.disconnect();
    this.plot?.destroy();
    this.plot = undefined;
  }

  attributeChangedCallback(name, before, after) {
    if (!this.watch || before === after || this.due) return;
    // Attributes come one by one; they belong together.
    this.due = true;
    queueMicrotask(() => { this.due = false; if (this.isConnected) this.draw(); });
  }

  get height() { return Number(this.dataset.height) || 180; }

  // A token may be a pair of colours, light and dark: which of them it is shows where something has it.
  colour(name) {
    this.place.style.color = `var(${name})`;
    const found = getComputedStyle(this.place).color;
    this.place.style.color = "";
    return found;
  }

  draw() {
    const times = JSON.parse(this.dataset.times || "[]");
    this.series = JSON.parse(this.dataset.series || "[]");
    const stacked = this.dataset.kind !== "lines";
    let sums = times.map(() => 0);
    // Painter's order: the highest sum first, the lower ones over it.
    const rows = this.series.map((one) => (sums = stacked ? sums.map((sum, at) => sum + one.values[at]) : one.values));
    const order = this.series.map((_, at) => at);
    if (stacked) order.reverse();
    this.plot?.destroy();
    this.place.replaceChildren();
    if (times.length < 2) return;
    const axis = { stroke: this.colour("--muted"), font: `11px ${getComputedStyle(this).getPropertyValue("--sans")}`, ticks: { show: false }, border: { show: false } };
    const top = Number(this.dataset.top) || 1;
    this.plot = new uPlot(
      {
        width: this.clientWidth || 300,
        height: this.height,
        padding: [8, 12, 0, 0],
        cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false } },
        legend: { show: false },
        scales: { y: { range: (_, low, high) => [0, Math.max(top, high) * 1.04] } },
        axes: [
          { ...axis, space: 64, size: 26, grid: { show: false }, values: (_, ticks) => this.days(ticks) },
          { ...axis, space: 36, size: 44, grid: { stroke: this.colour("--line"), width: 1 }, values: (_, ticks) => ticks.map((tick) => short.format(tick)) },
        ],
        series: [{}, ...order.map((at) => this.look(at, stacked))],
        hooks: { setCursor: [() => this.tell(times)] },
      },
      [times, ...order.map((at) => rows[at])],
      this.place,
    );
  }

  look(at, stacked) {
    const { colour, dash } = this.series[at];
    const paint = this.colour(colour || `--series-${(at % 6) + 1}`);
    return { stroke: stacked ? this.colour("--surface") : paint, width: stacked ? 1 : 2, fill: stacked ? paint : undefined, dash, points: { show: false } };
  }

  days(ticks) {
    const span = ticks.at(-1) - ticks[0];
    const words = ticks.map((tick) => (span < 172_800 ? minute : day).format(tick * 1000));
    return words.map((word, at) => (word === words[at - 1] ? "" : word));
  }

  tell(times) {
    const { idx, left } = this.plot?.cursor ?? {};
    this.note.hidden = idx === null || idx === undefined || left < 0;
    if (this.note.hidden) return;
    const when = Object.assign(document.createElement("div"), { className: "when", textContent: minute.format(times[idx] * 1000) });
    const lines = this.series.map((one, at) => {
      const line = Object.assign(document.createElement("div"), { className: "line" });
      const mark = document.createElement("i");
      mark.style.background = this.colour(one.colour || `--series-${(at % 6) + 1}`);
      const label = Object.assign(document.createElement("span"), { textContent: one.label });
      line.append(mark, label, Object.assign(document.createElement("b"), { textContent: exact.format(one.values[idx]) }));
      return line;
    });
    if (this.dataset.kind !== "lines") lines.reverse();
    this.note.replaceChildren(when, ...lines);
    const x = left + 44;
    this.note.style.left = x > this.clientWidth / 2 ? "auto" : `${x + 12}px`;
    this.note.style.right = x > this.clientWidth / 2 ? `${this.clientWidth - x + 12}px` : "auto";
    this.note.style.top = "8px";
  }
}

customElements.define("otaru-chart", Chart);
