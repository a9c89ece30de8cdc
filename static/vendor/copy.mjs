// Copies the browser files we ship out of node_modules. Run it with `npm run vendor`; see README.md here.
import { copyFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const modules = new URL("../../node_modules/", import.meta.url);
const version = (name) => JSON.parse(readFileSync(new URL(`${name}/package.json`, modules))).version;

const files = [
  ["htmx.org", "dist/htmx.min.js", (v) => `htmx-${v}.min.js`, "0BSD"],
  ["idiomorph", "dist/idiomorph-ext.min.js", (v) => `idiomorph-ext-${v}.min.js`, "0BSD"],
];

const icons = `
  activity archive arrow-down arrow-left arrow-right arrow-up at-sign ban bell bold braces calendar-clock check
  chevron-down chevron-left chevron-right circle-check circle-help circle-user copy download ellipsis external-link
  eye eye-off file-text funnel gauge globe grip-vertical heading history hourglass inbox info italic key-round
  languages layers layout-dashboard layout-template link list list-checks list-ordered lock log-in log-out mail
  mail-check mail-warning mail-x mails menu monitor moon octagon-alert paperclip pause pencil play plus refresh-cw
  rotate-ccw search send server settings shield smartphone square sun sun-moon trash-2 triangle-alert undo-2
  upload user-plus users variable x
`.trim().split(/\s+/);

for (const name of readdirSync(here)) {
  if (/\.(js|svg)$/.test(name)) rmSync(new URL(name, here));
}

const shipped = [];
const licences = ["htmx.org", "idiomorph", "lucide-static"].map((pkg) => {
  const text = readFileSync(new URL(`${pkg}/LICENSE`, modules), "utf8").trim();
  return `${pkg} ${version(pkg)}\n\n${text}\n`;
});
writeFileSync(new URL("LICENSES.txt", here), licences.join("\n----\n\n"));
for (const [pkg, from, name, licence] of files) {
  const v = version(pkg);
  copyFileSync(new URL(`${pkg}/${from}`, modules), new URL(name(v), here));
  shipped.push(`| ${name(v)} | ${pkg} | ${v} | ${licence} |`);
}

const lucide = version("lucide-static");
const sprite = `lucide-${lucide}.svg`;
const symbols = icons.map((name) => {
  const svg = readFileSync(new URL(`lucide-static/icons/${name}.svg`, modules), "utf8");
  const body = svg.replace(/^[\s\S]*?<svg[^>]*>/, "").replace("</svg>", "").trim().replace(/\s*\n\s*/g, "");
  return `<symbol id="${name}" viewBox="0 0 24 24">${body}</symbol>`;
});
writeFileSync(new URL(sprite, here), `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`);
shipped.push(`| ${sprite} (${icons.length} icons) | lucide-static | ${lucide} | ISC |`);

writeFileSync(new URL("VERSIONS.md", here), `| file | package | version | licence |\n|---|---|---|---|\n${shipped.join("\n")}\n`);
