// The table of files, sorted by the column that is clicked. Without it the page is the same but for that.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => {
      const text = row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
      return text === "" || isNaN(text) ? text : Number(text);
    };
    const order = (a, b) => (a === "") - (b === "") || (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
    body.append(...[...body.rows].map((row) => [value(row), row]).sort((a, b) => order(a[0], b[0])).map((pair) => pair[1]));
  });
}
