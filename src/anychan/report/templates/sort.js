// A click on a column's heading sorts the rows of each group by it; another click turns them round.
const number = (text) => Number(/^\d{1,3}(,\d{3})+$/.test(text) ? text.replaceAll(",", "") : text);
for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") !== "descending";
    const value = (row) => row.cells[column]?.dataset.sort ?? row.cells[column]?.textContent.trim() ?? "";
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = number(x) - number(y);
      return (Number.isNaN(order) ? x.localeCompare(y, "en", { numeric: true }) : order) * (down ? -1 : 1);
    };
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const body of heading.closest("table").tBodies) {
      body.append(...[...body.rows].filter((row) => row.className !== "group").sort(compare));
    }
  });
}
