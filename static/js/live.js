// Polled parts, written by live() and live_status() in components/ui.html; the attributes are in README.md.

const status = document.querySelector("[data-live-status]");
const lost = document.querySelector("[data-live-lost]");
const pageTitle = document.title;
const milestones = new Map();
let failures = 0;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.matches("[data-live]")) event.preventDefault();
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.target.matches("[data-live]")) return;
  failures = event.detail.successful ? 0 : failures + 1;
  if (lost) lost.hidden = failures < 3;
});
document.addEventListener("htmx:afterSettle", () => document.querySelectorAll("[data-live]").forEach(follow));
function follow(part) {
  if (part.dataset.title) document.title = `${part.dataset.title} · ${pageTitle.split(" · ").at(-1)}`;
  const milestone = part.dataset.milestone ?? "";
  if (milestone && (milestones.get(part.id) ?? milestone) !== milestone) status.textContent = milestone;
  milestones.set(part.id, milestone);
}

// What a person has opened stays open through a poll.
if (window.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.nodeName === "DETAILS");
}

setInterval(() => {
  document.querySelectorAll("[data-countdown]").forEach((number) => {
    number.textContent = Math.max(0, Number(number.textContent.replace(/\D/g, "")) - 1);
  });
}, 1000);

document.querySelectorAll("[data-live]").forEach(follow);
