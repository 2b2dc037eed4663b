// Single keys move the focus and open pages; none of them sends anything. The page of preferences switches them off.
const rows = () => [...document.querySelectorAll("main table.list tbody tr:not([hidden]), main table.lines tbody tr:not([hidden])")];

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement) || row === document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  const target = next.querySelector("a") ?? next;
  if (target === next) next.tabIndex = -1;
  target.focus();
}

function focus(selector) {
  const found = document.querySelector(selector);
  const folded = found?.closest("details");
  if (folded) folded.open = true;
  found?.focus();
}
const open = (selector) => document.querySelector(selector)?.click();
const acts = {
  "?": () => open("[data-keys]"),
  j: () => step(1),
  k: () => step(-1),
  o: () => document.activeElement?.closest("tr")?.querySelector("a")?.click(),
  n: () => open("[rel=next]"),
  f: () => focus("[data-find], form.filter input:not([type=hidden])"),
  a: () => focus("[data-accept]"),
  r: () => focus("[data-reason]"),
  p: () => open("[data-pause]"),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
