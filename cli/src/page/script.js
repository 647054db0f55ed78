for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), body = heading.closest("table").tBodies[0];
    const rising = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = row => row.cells[heading.cellIndex].dataset.sort ?? row.cells[heading.cellIndex].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], numbers = [Number(x), Number(y)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numbers.some(Number.isNaN) ? x.localeCompare(y) : numbers[0] - numbers[1];
      return rising ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
