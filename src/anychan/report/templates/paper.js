// Paper does not scroll: a table that is wider than a page goes on below itself, with its first column again.
{
  const PAGE = (182 / 25.4) * 96; // CSS pixels between the margins of an A4 sheet
  const undo = [];

  const columns = (table) => {
    const [first, ...others] = [...table.tHead.rows[0].cells].map((cell) => cell.getBoundingClientRect().width);
    const parts = [];
    let room = 0;
    others.forEach((width, i) => {
      if (width > room || parts.length === 0) {
        parts.push([0]);
        room = PAGE - first;
      }
      parts.at(-1).push(i + 1);
      room -= width;
    });
    return parts;
  };

  const part = (table, kept) => {
    const copy = table.cloneNode(true);
    for (const row of copy.rows) {
      const across = row.querySelector("[colspan]");
      if (across) across.colSpan = kept.length;
      else [...row.cells].forEach((cell, i) => kept.includes(i) || cell.remove());
    }
    return copy;
  };

  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    const wide = [...document.querySelectorAll(".scroll > table")].filter((table) => table.offsetWidth > PAGE);
    for (const [table, parts] of wide.map((table) => [table, columns(table)])) {
      const copies = parts.map((kept) => part(table, kept));
      table.after(...copies);
      table.hidden = true;
      undo.push(() => {
        copies.forEach((copy) => copy.remove());
        table.hidden = false;
      });
    }
    document.documentElement.classList.remove("paper");
  });
  addEventListener("afterprint", () => undo.splice(0).forEach((step) => step()));
}
