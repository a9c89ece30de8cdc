// Comfort for every page; each works without this file.

const html = document.documentElement;
const on = (type, selector, act) =>
  document.addEventListener(type, (event) => {
    const element = event.target.closest?.(selector);
    if (element) act(element, event);
  });
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

// Buttons that only work with JavaScript are hidden in the markup.
function enhance() {
  each("[data-themes], [data-reveals], [data-copy], [data-js]", (element) => (element.hidden = false));
  each("[data-counter]", count);
}

// Theme: a cookie, so that the server writes it into <html> and no page flashes.
on("click", "[data-theme-set]", (button) => {
  const theme = button.dataset.themeSet;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  html.dataset.theme = theme;
  each("[data-theme-set]", (other) => other.setAttribute("aria-pressed", other === button));
});

// A dialog opens as a popover without JavaScript; with it, it is modal: it holds the focus and gives it back.
on("click", "[popovertarget]", (button, event) => {
  const dialog = document.getElementById(button.getAttribute("popovertarget"));
  if (dialog?.nodeName !== "DIALOG") return;
  event.preventDefault();
  if (button.getAttribute("popovertargetaction") === "hide") return dialog.close();
  dialog.removeAttribute("popover");
  dialog.showModal();
});

on("click", "[data-reveals]", (button) => {
  const input = document.getElementById(button.dataset.reveals);
  const word = button.textContent;
  input.type = input.type === "password" ? "text" : "password";
  button.setAttribute("aria-pressed", input.type === "text");
  button.textContent = button.dataset.shown;
  button.dataset.shown = word;
});

on("click", "[data-copy]", async (button) => {
  await navigator.clipboard.writeText(button.dataset.copy);
  const text = button.querySelector("span");
  text.setAttribute("role", "status");
  text.textContent = button.dataset.copied;
});

// An emoji counts as one, a merge field as none.
const letters = new Intl.Segmenter(html.lang);
function count(line) {
  const { counter, most, text, over } = line.dataset;
  const words = document.getElementById(counter).value.replace(/{{.*?}}/g, "");
  const { length } = [...letters.segment(words)];
  line.classList.toggle("over", length > most);
  line.textContent = (length > most ? over : text).replace("{n}", length);
}
document.addEventListener("input", ({ target }) => target.id && each(`[data-counter="${CSS.escape(target.id)}"]`, count));

// A form on its way says so and is not sent twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.busy || event.defaultPrevented) return;
  if (button.getAttribute("aria-busy") === "true") return event.preventDefault();
  button.style.width = `${button.offsetWidth}px`;
  button.dataset.label = button.innerHTML;
  button.setAttribute("aria-busy", "true");
  button.textContent = button.dataset.busy;
});
addEventListener("pageshow", () => each("[data-label][aria-busy]", (button) => {
  button.innerHTML = button.dataset.label;
  button.removeAttribute("aria-busy");
}));

for (const type of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(type, (event) => {
    const note = document.getElementById("request-failed");
    if (note && !event.target.closest("[data-live]")) note.hidden = false;
  });
}
document.addEventListener("htmx:afterSettle", enhance);

const reload = document.querySelector("[data-reload]");
if (reload) setTimeout(() => location.reload(), Number(reload.dataset.reload) * 1000);

// On a phone the tab of this page may stand beyond the edge.
each(".tabs [aria-current]", (tab) => {
  const row = tab.closest("ul");
  row.scrollLeft += Math.max(0, tab.getBoundingClientRect().right - row.getBoundingClientRect().right);
});

enhance();
(document.querySelector("[data-error-summary]") ?? document.querySelector("[data-flash]")?.parentElement)?.focus();
