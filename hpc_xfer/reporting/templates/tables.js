"use strict";
/* Sort and filter the tables, open what is folded for print. Without it the page lacks nothing else.
   Values are read as text and written as text. */

const collator = new Intl.Collator("en", { numeric: true });

function text(cell) { return cell.textContent.trim(); }

/* Order two rows by one column; a cell without a value is last in both directions. */
function compare(first, second, column, direction) {
  const a = first.cells[column], b = second.cells[column];
  const missing = (cell) => (cell.dataset.value === undefined && ["", "—"].includes(text(cell)) ? 1 : 0);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (a.dataset.value !== undefined && b.dataset.value !== undefined) {
    const x = Number(a.dataset.value), y = Number(b.dataset.value);
    return x === y ? 0 : direction * (x < y ? -1 : 1);
  }
  return direction * collator.compare(text(a), text(b));
}

/* A button over each header: ascending, descending, as it was. The title stays outside of it: headers
   that Chromium repeats on each printed page lack what is inside of buttons. */
function makeSortable(table) {
  const body = table.tBodies[0], original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", "sort by " + (text(header) || "this column"));
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const before = header.getAttribute("aria-sort");
      const now = { none: "ascending", ascending: "descending", descending: "none" }[before];
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", now);
      const direction = now === "descending" ? -1 : 1;
      const rows = [...original];
      if (now !== "none") rows.sort((a, b) => compare(a, b, column, direction));
      body.append(...rows);
    });
  });
}

function control(label, element) {
  const wrapper = document.createElement("label");
  wrapper.append(label, " ", element);
  return wrapper;
}

/* A select with the values of one column, where it has several; numbers are in order. */
function chooser(header, column, rows) {
  const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
  const ordered = numeric ? [...rows].sort((a, b) => compare(a, b, column, 1)) : rows;
  const values = [...new Set(ordered.map((row) => text(row.cells[column])))];
  if (values.length < 2 || values.length > 40) return null;
  const select = document.createElement("select");
  select.append(new Option("all", ""), ...values.map((value) => new Option(value || "—", "=" + value)));
  return { column, select, label: control(text(header), select) };
}

/* One text box: a row stays if it has every word. Selects for mode, data set and the like. */
function makeFilter(box, table) {
  const rows = [...table.tBodies[0].rows];
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "words of a row";
  const choosers = [...table.tHead.rows[0].cells]
    .map((header, column) => ("choice" in header.dataset ? chooser(header, column, rows) : null))
    .filter(Boolean);
  const count = document.createElement("span");
  count.setAttribute("role", "status");
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const all = [...row.cells].map(text).join(" ").toLowerCase();
      const fits = words.every((word) => all.includes(word)) && choosers.every(
        ({ column, select }) => !select.value || select.value === "=" + text(row.cells[column]));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  const bar = document.createElement("div");
  bar.className = "filter";
  bar.append(control("Filter", input), ...choosers.map(({ label }) => label), count);
  box.prepend(bar);
  input.addEventListener("input", apply);
  for (const { select } of choosers) select.addEventListener("change", apply);
  apply();
}

for (const box of document.querySelectorAll("[data-table]")) {
  const table = box.querySelector("table");
  if (box.dataset.table === "filter") makeFilter(box, table);
  makeSortable(table);
}

/* Paper cannot unfold: open everything, and close it again after. */
const opened = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    opened.push(details);
  }
});
addEventListener("afterprint", () => { for (const details of opened.splice(0)) details.open = false; });
