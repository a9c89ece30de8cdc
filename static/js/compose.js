// The composer: autosave, live preview, merge fields, leave warning. The form works by its own buttons without it.
// Every attribute read here is explained in README.md beside this file.

const form = document.querySelector("form[data-compose]");
const status = document.querySelector("[data-save-status]");
const preview = document.querySelector("button[data-preview]");
const SAVE_MS = 1500;
const PREVIEW_MS = 800;
const version = () => form.elements.namedItem("version");
let changes = 0;
let saved = 0;
let saving = null;
let leaving = false;
let saveTimer;
let previewTimer;

function say(text, isProblem = false) {
  if (!status) return;
  // Only a failure is read out: a voice that says "saved" every two seconds is no help.
  status.setAttribute("role", isProblem ? "alert" : "none");
  status.classList.toggle("error", isProblem);
  status.textContent = text;
}

async function save() {
  clearTimeout(saveTimer);
  if (saving) return saving.then(save);
  if (changes === saved || !form.dataset.saveUrl) return;
  const upTo = changes;
  say(form.dataset.textSaving ?? "");
  saving = send().then((answer) => answer && ((saved = upTo), say(answer)), () => say(form.dataset.textFailed ?? "", true));
  await saving;
  saving = null;
}

async function send() {
  const response = await fetch(form.dataset.saveUrl, {
    method: "POST", body: new FormData(form), headers: { Accept: "application/json", "X-Requested-With": "fetch" },
  });
  if (!(response.headers.get("Content-Type") ?? "").includes("json")) throw new Error(response.status);
  const answer = await response.json();
  if (response.ok) {
    if (version() && "version" in answer) version().value = answer.version;
    return answer.message;
  }
  if (response.status === 409) document.querySelector("[data-conflict]")?.removeAttribute("hidden");
  say(answer.message ?? Object.values(answer.errors ?? {}).flat()[0] ?? form.dataset.textFailed, true);
}

function changed() {
  changes += 1;
  say(form.dataset.textUnsaved ?? "");
  clearTimeout(saveTimer);
  clearTimeout(previewTimer);
  saveTimer = setTimeout(save, SAVE_MS);
  previewTimer = setTimeout(render, PREVIEW_MS);
}

// The next picture is drawn in a second frame behind the first and takes its place when it is there.
function render() {
  const shown = document.querySelector("iframe.preview-frame:not([hidden])");
  if (!preview || !shown || shown.offsetParent === null) return;
  const next = shown.cloneNode();
  next.name = shown.name === "preview" ? "preview-next" : "preview";
  next.classList.add("vh");
  next.removeAttribute("src");
  document.querySelectorAll(`iframe[name="${next.name}"]`).forEach((old) => old.remove());
  shown.after(next);
  preview.formTarget = next.name;
  form.requestSubmit(preview);
  next.addEventListener("load", () => {
    if (next.name !== preview.formTarget) return;
    next.classList.remove("vh");
    shown.remove();
  }, { once: true });
}

form.addEventListener("input", ({ target }) => target.matches("[data-preview-now]") || changed());
document.addEventListener("change", ({ target }) => target.matches("[data-preview-now]") && render());
form.addEventListener("submit", ({ submitter }) => (leaving = !submitter?.formTarget));
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
  event.preventDefault();
  if (changes === saved) changes += 1;
  save();
});
addEventListener("visibilitychange", () => document.hidden && save());
addEventListener("beforeunload", (event) => {
  if (!leaving && changes !== saved) event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-insert], [data-wrap], [data-prefix]");
  const field = button && document.getElementById(button.dataset.into);
  if (!field) return;
  const chosen = field.value.slice(field.selectionStart, field.selectionEnd);
  field.focus();
  field.setRangeText(written(button.dataset, chosen), field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
  button.closest("[popover]")?.hidePopover();
  field.focus();
});

function written({ insert, wrap, prefix }, chosen) {
  if (insert !== undefined) return insert;
  if (prefix !== undefined) return chosen.split("\n").map((line) => prefix + line).join("\n");
  const [before, after] = wrap.split("|");
  return before + chosen + after;
}

// Without a first picture the frame would stay empty until somebody types.
if (preview && document.querySelector("iframe.preview-frame:not([src])")) render();
