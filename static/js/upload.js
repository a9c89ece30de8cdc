// Uploads: dropping a file, and a bar while it travels; the attributes are in README.md.

const form = document.querySelector("form[data-upload]");
const field = form.querySelector('input[type="file"]');
const drop = form.querySelector("[data-drop]");
const bar = form.querySelector("[data-upload-bar]");
const text = form.querySelector("[data-upload-text]");

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop?.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) field.files = event.dataTransfer.files;
  });
}

form.addEventListener("submit", (event) => {
  if (!field.files.length || !bar) return;
  event.preventDefault();
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", ({ loaded, total }) => show(loaded, total));
  request.addEventListener("load", () => arrive(request));
  request.addEventListener("error", fail);
  request.open("POST", form.action);
  bar.hidden = false;
  request.send(new FormData(form, event.submitter));
});

function show(loaded, total) {
  bar.max = total;
  bar.value = loaded;
  if (text) text.textContent = `${Math.floor((100 * loaded) / total)}%`;
}

// A redirect was followed already: go where it led. An error page takes the place of this one.
function arrive(request) {
  if (request.status < 400) return location.assign(request.responseURL);
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const main = page.querySelector("main");
  if (!main) return fail();
  document.title = page.title;
  document.querySelector("main").replaceWith(main);
  (main.querySelector("[data-error-summary]") ?? main).focus();
}

function fail() {
  bar.hidden = true;
  if (text) text.textContent = form.dataset.textFailed ?? "";
  form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
}
