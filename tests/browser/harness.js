// Looks at every report in its frame and writes what it found as JSON.
const look = (frame) => {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const tip = page.getElementById("tip");
  const press = (element, key) => element.dispatchEvent(new view.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const found = { errors: view.complaints, width: view.innerWidth, scrolled: root.scrollWidth };
  found.outside = all("body *").filter((element) => !element.closest(".scroll, nav, svg, .skip") && element.getBoundingClientRect().right > view.innerWidth + 1)
    .map((element) => element.tagName + "." + element.className).slice(0, 5);
  found.figures = all("figure svg.figure").map((svg) => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const sizes = [...svg.querySelectorAll("text")].map((text) => parseFloat(view.getComputedStyle(text).fontSize) * scale);
    return { id: svg.closest("figure").id, width: box.width, height: box.height, letters: Math.min(...sizes), marks: svg.querySelectorAll("[data-tip]").length };
  });
  found.headings = all("h2").map((heading) => heading.textContent);
  found.cards = all(".card .big").map((card) => card.textContent);
  const table = page.getElementById("comparison-table");
  const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.classList.contains("number"));
  const numbers = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.key)).filter(Number.isFinite);
  const heading = table.tHead.rows[0].cells[column], button = heading.querySelector("button");
  button.click(); found.down = [heading.getAttribute("aria-sort"), numbers()];
  button.click(); found.up = [heading.getAttribute("aria-sort"), numbers()];
  button.focus(); found.focused = page.activeElement === button;
  const input = page.querySelector(".filter input");
  if (input) {
    input.value = "gcc12"; input.dispatchEvent(new view.Event("input"));
    found.filtered = [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
    input.value = ""; input.dispatchEvent(new view.Event("input"));
  }
  const mark = page.querySelector("svg.figure [data-tip]");
  if (mark) {
    const box = mark.getBoundingClientRect();
    mark.dispatchEvent(new view.PointerEvent("pointermove", { bubbles: true, clientX: box.left, clientY: box.top }));
    found.hovered = tip.hidden ? "" : tip.textContent;
    press(page.body, "Escape"); found.escaped = tip.hidden;
    press(mark.closest("svg.figure"), "ArrowRight"); found.arrowed = tip.hidden ? "" : tip.textContent;
  }
  const map = page.querySelector("svg[data-values]");
  if (map) {
    press(map, "ArrowRight"); found.link = tip.textContent;
    const box = map.getBoundingClientRect();
    map.dispatchEvent(new view.PointerEvent("pointermove", { bubbles: true, clientX: box.right - 1, clientY: box.bottom - 1 }));
    found.corner = tip.textContent;
    found.maps = all("svg[data-values]").length;
  }
  const paper = () => view.getComputedStyle(page.body).backgroundColor;
  const before = paper(); page.getElementById("theme").click();
  found.themes = [before, paper()];
  found.ink = mark ? view.getComputedStyle(page.querySelector("svg.figure text")).fill : "";
  page.getElementById("theme").click();
  const skip = page.querySelector(".skip");
  found.skips = Boolean(skip && page.querySelector(skip.getAttribute("href")));
  found.ids = all("[id]").length - new Set(all("[id]").map((element) => element.id)).size;
  return found;
};
addEventListener("load", () => {
  const answer = {};
  for (const frame of document.querySelectorAll("iframe")) {
    try { answer[frame.id] = look(frame); } catch (error) { answer[frame.id] = { errors: [String(error.stack)] }; }
  }
  document.querySelectorAll("iframe").forEach((frame) => frame.remove());
  document.querySelector("pre").textContent = JSON.stringify(answer);
});
