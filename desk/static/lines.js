// Chooses, sorts and adds up the lines of a budget at once; without it the same links and forms ask the desk.
const table = document.querySelector("table[data-lines]");
if (table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const kinds = [...document.querySelectorAll("[data-kind]")];
  const find = document.querySelector("[data-find]");
  const type = document.querySelector("[data-type]");
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const texts = new Map(rows.map((row) => [row, fold([0, 1, 2].map((n) => row.cells[n].textContent.trim()).join(" "))]));
  const readCents = (cell) => BigInt(cell.textContent.replace(/[^-0-9]/g, "") || "0");
  const totals = [...table.tFoot.querySelectorAll("[data-sum]")];
  const [, group, , , , point] = table.dataset.numbers;

  function writeCents(cents) {
    const digits = String(cents < 0n ? -cents : cents).padStart(3, "0");
    const whole = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, group === " " ? "\u00a0" : group);
    return `${cents < 0n ? "-" : ""}${whole}${point}${digits.slice(-2)}`;
  }

  function choose() {
    const kind = kinds.find((link) => link.ariaCurrent === "true")?.dataset.kind ?? "all";
    const wanted = fold(find.value.trim());
    const sums = totals.map(() => 0n);
    let count = 0;
    for (const row of rows) {
      const change = row.className;
      const fits = kind === "all" || kind === change || (kind === "changed" && change !== "same");
      const shown = fits && (!type.value || row.cells[1].textContent === type.value) && texts.get(row).includes(wanted);
      row.hidden = !shown;
      if (shown) {
        count += 1;
        sums.forEach((_, n) => { sums[n] += readCents(row.cells[n + 3]); });
      }
    }
    table.querySelector("[data-shown]").textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} lines`;
    totals.forEach((cell, n) => { cell.textContent = writeCents(sums[n]); });
    const left = rows.length - count;
    table.querySelector("[data-hidden]").textContent = left ? `${left.toLocaleString("en")} ${left === 1 ? "line" : "lines"} not shown. ` : "";
  }

  function sort(head) {
    const descends = head.ariaSort === "ascending";
    const amounts = head.classList.contains("number");
    const read = (row) => amounts ? readCents(row.cells[head.cellIndex]) : fold(row.cells[head.cellIndex].textContent);
    const keyed = rows.map((row) => [read(row), row]);
    keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (descends ? -1 : 1));
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.ariaSort = descends ? "descending" : "ascending";
    body.append(...keyed.map(([, row]) => row));
  }

  kinds.forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    kinds.forEach((other) => other.removeAttribute("aria-current"));
    link.ariaCurrent = "true";
    history.replaceState(null, "", link.href);
    choose();
  }));
  table.querySelectorAll("[data-sort]").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    sort(link.closest("th"));
  }));
  find.addEventListener("input", choose);
  type.addEventListener("change", choose);
  find.form.addEventListener("submit", (event) => { event.preventDefault(); choose(); });
  const print = document.querySelector("[data-print]");
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
