// A new release: files come up as they are chosen, the rest is typed meanwhile, one button makes the release of them.

import { Kept } from "./kept.js";
import { Row } from "./release_row.js";
import { Upload, fresh, json, words } from "./upload.js";

const form = document.getElementById("release");
const at = (name) => form.querySelector(`[data-at="${name}"]`);
const kept = new Kept(form.dataset.tenant);
const list = at("files");
const picker = at("picker");
const rows = new Map();
const page = { kept, template: document.getElementById("file-row"), choose: () => picker.click(), changed, remove };
let sent = { text: "", key: "" };
let creating = false;
let mismatches = []; // in what the images were told to say something else than is typed

function forgetMismatches() {
  mismatches = [];
  form.elements.accept.checked = false;
  at("accept").hidden = true;
}

function changed(row) {
  const waiting = [...rows.values()].filter((one) => one.waits).length;
  const draft = form.elements.publish.value !== "true";
  at("create").disabled = creating || waiting > 0 || rows.size === 0;
  at("verb").textContent = draft ? "Create draft" : "Publish release";
  at("why").textContent = creating ? "The server reads the files." : rows.size === 0 ? "Choose a file first." : waiting === 0 ? ""
    : rows.size === 1 ? "Waits for the file to be on the server." : `Waits for ${waiting} of ${rows.size} files to be on the server.`;
  at("drop").classList.toggle("drop-small", rows.size > 0);
  const news = { done: "is on the server", failed: "could not be uploaded", lost: "has lost its connection", paused: "is paused" };
  if (row && news[row.upload.state]) at("news").textContent = `${row.upload.name} ${news[row.upload.state]}`;
}

function remove(row) {
  rows.delete(row.key);
  kept.forget(row.key);
  row.element.remove();
  forgetMismatches();
  changed();
}

function add(record) {
  const row = new Row(record, page);
  rows.set(row.key, row);
  list.append(row.element);
  forgetMismatches();
  changed();
  return row;
}

async function take(files) {
  const refused = [];
  for (const file of files) {
    const key = file.size ? await Upload.keyOf(file).catch(() => undefined) : undefined;
    const row = rows.get(key);
    // Chosen for one that cannot go on: built anew since. It takes the place, and the hardware, of the old one.
    const old = row ? undefined : [...rows.values()].find((one) => one.lacks && one.upload.name === file.name);
    old?.chips.commit();
    const hardware = old?.chips.names;
    if (key !== undefined) old?.remove();
    if (key === undefined) refused.push(`${file.name} ${file.size ? "cannot be read: is it a folder?" : "is empty."}`);
    else if (row) { if (!row.upload.busy && row.waits) row.go(file); }
    else if (rows.size >= Number(form.dataset.maxFiles)) refused.push(`A release has at most ${form.dataset.maxFiles} files.`);
    else add({ key, at: Date.now() + rows.size / 1000, name: file.name, size: file.size, hardware }).go(file);
  }
  say("files", refused.join(" "));
}

// What is wrong, beside the field it is about.
function say(name, told) {
  const place = at(`wrong-${name}`);
  place.hidden = !told;
  place.querySelector("span").textContent = told;
  if (told && place.closest("details")) place.closest("details").open = true;
  const input = form.elements[name];
  input?.closest?.(".field")?.classList.toggle("field-wrong", Boolean(told));
  if (input?.setAttribute) input.setAttribute("aria-invalid", String(Boolean(told)));
}

const DOCUMENTS = ["sbom", "provenance"];
const documents = new Map(); // their uploads, by file: what is there already is not sent again

// The documents that were chosen, on the server, by kind; undefined where one is not there.
async function stored() {
  const found = {};
  for (const kind of DOCUMENTS) {
    const [file] = form.elements[kind].files;
    if (!file) continue;
    const upload = documents.get(file) ?? new Upload(file.name, file.size, () => undefined);
    documents.set(file, upload);
    if (upload.state !== "done") await upload.run(file);
    if (upload.state === "done") found[kind] = upload.sha256;
    else say(kind, upload.wrong || "It could not be uploaded.");
  }
  return first() === undefined ? found : undefined;
}

const RULES = ["requires", "floor", "security_floor", "support_until"];
const FIELDS = ["product", "version", "component", "notes", "channel", ...RULES];

function typed() {
  const values = Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
  return { ...values, type: form.elements.type.value, publish: form.elements.publish.value, no_way_back: form.elements.no_way_back.checked };
}

// Whether everything is there that has to be; says what is not.
function complete() {
  for (const name of [...FIELDS, ...DOCUMENTS, "type", "files", "release"]) say(name, "");
  for (const name of ["product", "version"]) if (!form.elements[name].value.trim()) say(name, form.elements[name].dataset.missing);
  for (const row of rows.values()) {
    if (!row.chips.commit()) row.say("Not a hardware's name: letters, digits, space and . _ / + - with an optional :revision.");
    else row.say(row.chips.names.length ? "" : "Say which hardware it is for.");
  }
  const counter = form.elements.security_floor;
  if (!/^\s*([1-9]\d{0,9})?\s*$/.test(counter.value)) say("security_floor", counter.dataset.form);
  return first() === undefined;
}

// What the release says of itself; what is left empty is left out.
function terms({ type, channel, requires, floor, security_floor: counter, support_until: until, no_way_back: oneWay }) {
  const wanted = requires.split(",").map((one) => one.trim()).filter(Boolean);
  const said = { type, channel: channel.trim(), floor: floor.trim(), security_floor: Number(counter), support_until: until, no_way_back: oneWay };
  return { ...Object.fromEntries(Object.entries(said).filter(([, value]) => value)), ...(wanted.length ? { requires: wanted } : {}) };
}

const first = () => [...form.querySelectorAll(".wrong")].find((place) => !place.hidden);

function lookAtFirst() {
  const place = first();
  const field = place?.closest(".field, .upload")?.querySelector("input:not([type=file]), textarea");
  (field ?? place)?.scrollIntoView({ block: "center" });
  field?.focus();
}

// A problem of the REST API, told beside the fields that it names.
function tell(answer) {
  const { status, body } = answer;
  if (body.code === "already_exists") return say("version", words(answer));
  if (DOCUMENTS.includes(body.document)) return say(body.document, words(answer));
  if (status === 401) return say("release", "Your session has ended. Log in in another tab, then press the button again.");
  const uploads = [...rows.values()];
  let told = 0;
  for (const { field, message } of body.errors ?? []) {
    const [name, index, part] = field.split(".");
    if (DOCUMENTS.includes(name)) say(name, message);
    else if (name === "artifacts" && part === "hardware") uploads[Number(index)]?.say(message);
    else if (name === "artifacts" && part === "component") {
      const row = uploads[Number(index)];
      if (row?.artifact.component) row.say(form.elements.component.dataset.form);
      else say("component", form.elements.component.dataset.form);
    }
    else if (FIELDS.includes(name)) say(name, form.elements[name].dataset.form ?? message);
    else continue;
    told += 1;
  }
  if (!told) say("release", words(answer));
  if (body.code === "image_mismatch") {
    mismatches = [...new Set(body.mismatches.map((one) => one.aspect))];
    at("accept").hidden = false;
  }
}

async function create() {
  if (creating || !complete()) return lookAtFirst();
  const { product, version, component, notes, publish, ...rest } = typed();
  const artifacts = [...rows.values()].map((row) => row.artifact)
    .map((one) => (component.trim() ? { component: component.trim(), ...one } : one));
  creating = true;
  changed();
  const papers = await stored();
  creating = Boolean(papers);
  changed();
  if (!papers) return lookAtFirst();
  const release = { product: product.trim(), version: version.trim(), artifacts, notes, publish: publish === "true", ...terms(rest), ...papers };
  if (form.elements.accept.checked) release.accept_mismatch = mismatches;
  const text = JSON.stringify(release);
  if (sent.text !== text) sent = { text, key: fresh() };
  const answer = await json("POST", "/api/v1/releases", release, undefined, sent.key);
  if (answer.status === 201) {
    for (const row of rows.values()) kept.forget(row.key);
    kept.typed = {};
    location.assign(`/releases/${encodeURIComponent(release.product)}/${encodeURIComponent(release.version)}`);
    return undefined;
  }
  creating = false;
  changed();
  tell(answer);
  return lookAtFirst();
}

// What was there before a reload: uploads that go on once their file is chosen again, and what was typed.
async function recall() {
  const before = kept.typed;
  for (const name of FIELDS) if (before[name] && !form.elements[name].value) form.elements[name].value = before[name];
  if (before.type) form.elements.type.value = before.type;
  if (before.publish) form.elements.publish.value = before.publish;
  form.elements.no_way_back.checked = Boolean(before.no_way_back);
  at("more").open = Boolean(form.elements.component.value);
  at("rules").open = form.elements.no_way_back.checked || RULES.some((name) => form.elements[name].value);
  for (const record of kept.all()) add(record);
  for (const row of [...rows.values()]) {
    const { state, id, sha256 } = row.upload;
    const shown = state === "done" ? await json("GET", `/api/v1/artifacts/${sha256}`)
      : id ? await json("GET", `/api/v1/uploads/${id}`) : { status: 404 };
    if (row.upload.state !== state) continue; // its file was chosen meanwhile
    if (shown.status === 404) remove(row); // left alone for so long that the server forgot it
    else if (state === "missing" && shown.status === 200) { row.upload.offset = shown.body.offset; row.show(); }
  }
}

form.addEventListener("submit", (event) => { event.preventDefault(); create(); });
form.addEventListener("input", (event) => {
  if (event.target !== form.elements.accept && event.target !== form.elements.notes) forgetMismatches();
  if ([...FIELDS, ...DOCUMENTS].includes(event.target.name)) say(event.target.name, "");
  kept.typed = typed();
  changed();
});
picker.addEventListener("change", () => { take([...picker.files]); picker.value = ""; });
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    at("drop").classList.toggle("drop-over", kind === "dragover");
    if (kind === "drop") take([...event.dataTransfer.files]);
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").classList.remove("drop-over"); });
addEventListener("beforeunload", (event) => {
  if ([...rows.values()].some((row) => row.upload.busy)) event.preventDefault();
});
setInterval(() => { for (const row of rows.values()) if (row.upload.state === "lost") row.show(); }, 1000);

form.hidden = false;
recall();
changed();
