"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Theme: the reader's choice for this page view; the system's until one is made.
  const toggle = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const say = () => {
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  toggle.hidden = false;
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; say(); });
  dark.addEventListener("change", say);
  say();

  // Tables: a heading sorts by its column, a second time the other way round.
  const key = (row, column) => {
    const cell = row.cells[column];
    const number = Number(cell.dataset.key);
    return cell.dataset.key !== "" && Number.isFinite(number) ? number : cell.dataset.key;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  };
  for (const table of all("table.sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const fresh = heading.getAttribute("aria-sort") || (heading.classList.contains("number") ? "ascending" : "descending");
        const up = fresh !== "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = all("tr", body).map((row) => [key(row, column), row]);
        rows.sort((a, b) => (up ? compare(a[0], b[0]) : compare(b[0], a[0])));
        body.append(...rows.map((row) => row[1]));
      });
    });
  }
  for (const filter of all(".filter")) {
    const input = filter.querySelector("input");
    const shown = filter.querySelector("output");
    const rows = all("tbody tr", document.getElementById(input.getAttribute("aria-controls")));
    filter.hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += !row.hidden;
      }
      shown.textContent = words.length ? `${count} of ${rows.length} rows` : "";
    });
  }

  // Values of marks, where the pointer is or where the focus is.
  const tip = document.getElementById("tip");
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, x + 14), innerWidth - box.width - 4);
    tip.style.left = `${left}px`;
    tip.style.top = `${y - box.height - 10 > 0 ? y - box.height - 10 : y + 18}px`;
  };
  const hide = () => { tip.hidden = true; };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest && event.target.closest("[data-tip]");
    if (mark) show(mark.dataset.tip, event.clientX, event.clientY);
    else if (!event.target.closest || !event.target.closest("svg[data-values]")) hide();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Figures: one stop for the keyboard each; the arrows go from mark to mark.
  for (const figure of all("svg.figure")) {
    const marks = all("[data-tip]", figure);
    if (!marks.length) continue;
    figure.setAttribute("tabindex", "0");
    let place = -1;
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      place = (place + step + marks.length) % marks.length;
      const box = marks[place].getBoundingClientRect();
      show(marks[place].dataset.tip, box.left + box.width / 2, box.top);
    });
    figure.addEventListener("blur", hide);
  }

  // Heatmaps: the cell follows from the place, so that thousands of links are one drawing.
  for (const map of all("svg[data-values]")) {
    const values = JSON.parse(map.dataset.values);
    const [columns, lines, planes] = JSON.parse(map.dataset.shape);
    const cursor = map.querySelector(".cursor");
    const at = (x, y, z) => {
      if (x < 0 || y < 0 || z < 0 || x >= columns || y >= lines || z >= planes) { cursor.setAttribute("visibility", "hidden"); hide(); return; }
      const index = x + columns * (y + lines * z);
      cursor.setAttribute("x", z * (columns + 1) + x);
      cursor.setAttribute("y", y);
      cursor.setAttribute("visibility", "visible");
      const scale = map.getBoundingClientRect().width / map.viewBox.baseVal.width;
      const box = map.getBoundingClientRect();
      show(`node ${index} at (${x}, ${y}, ${z}), ${map.dataset.direction}\nbusy ${(values[index] / 10).toFixed(1)} % of the run`,
        box.left + (z * (columns + 1) + x + 1) * scale, box.top + y * scale);
    };
    map.addEventListener("pointermove", (event) => {
      const box = map.getBoundingClientRect();
      const scale = map.viewBox.baseVal.width / box.width;
      const place = Math.floor((event.clientX - box.left) * scale);
      at(place % (columns + 1), Math.floor((event.clientY - box.top) * scale), Math.floor(place / (columns + 1)));
    });
    const leave = () => { cursor.setAttribute("visibility", "hidden"); hide(); };
    map.addEventListener("pointerleave", leave);
    map.addEventListener("blur", leave);
    let place = 0;
    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
      if (!step) return;
      event.preventDefault();
      place = (place + step + values.length) % values.length;
      at(place % columns, Math.floor(place / columns) % lines, Math.floor(place / (columns * lines)));
    });
  }

  for (const button of all("button.copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.of).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
