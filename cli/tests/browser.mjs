// Opens pages of `report` at three widths and in both color schemes, and checks what a reader would stumble over: errors,
// requests, text that does not fit, numbers that are not those of the JSON object. With SCREENSHOTS=DIRECTORY it also
// leaves pictures to look at.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.resolve(process.env.FOLDER);
const require = createRequire(path.join(folder, "package.json"));
const { default: puppeteer } = await import(pathToFileURL(require.resolve("puppeteer-core")));
const widths = [400, 1000, 1600];
const problems = [];

/** What is wrong in a page, as the browser lays it out. */
function inspect() {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth - root.clientWidth} px too wide`);
  for (const element of document.querySelectorAll("h1,h2,p,li,figcaption,pre,figure")) {
    if (element.scrollWidth > element.clientWidth + 1) found.push(`overflow: ${element.textContent.slice(0, 60)}`);
  }
  for (const svg of document.querySelectorAll("svg")) {
    const title = svg.querySelector("title")?.textContent, frame = svg.getBoundingClientRect();
    if (!title || !svg.querySelector("desc")?.textContent || svg.getAttribute("role") !== "img")
      found.push("a picture without title, description or role");
    const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim() !== "");
    const boxes = texts.map(text => text.getBoundingClientRect());
    texts.forEach((text, i) => {
      const box = boxes[i];
      const outside = box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
        || box.bottom > frame.bottom + 1;
      if (outside) found.push(`${title}: “${text.textContent}” is cut off`);
      for (let j = 0; j < i; j += 1) {
        const other = boxes[j];
        const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        const share = across > 0 && down > 0 ? across * down / Math.min(box.width * box.height, other.width * other.height) : 0;
        if (share > 0.25) found.push(`${title}: “${text.textContent}” lies on “${texts[j].textContent}”`);
      }
    });
  }
  return found;
}

/** Numbers of the page that are not those of the JSON object, and how many there are. */
function compare() {
  const json = document.getElementById("numbers");
  const numbers = [...document.querySelectorAll("data[data-key]")], found = [];
  if (!json) return { found: numbers.length ? ["numbers without a JSON object"] : [], count: 0 };
  const object = JSON.parse(json.textContent);
  for (const element of numbers) {
    const keys = element.dataset.key.match(/[^.[\]]+/g);
    const expected = keys.reduce((value, key) => value?.[key], object);
    const value = Number(element.value), text = element.textContent;
    if (value !== expected) found.push(`${element.dataset.key} is ${value} in the page, ${expected} in the JSON object`);
    const shown = text.startsWith("< ") ? Math.abs(value) < 1e-12 : Math.abs(Number(text) - value) <= 5.1e-3 * Math.abs(value);
    if (!shown) found.push(`${element.dataset.key}: “${text}” is shown for ${value}`);
  }
  return { found, count: numbers.length };
}

/** Sorts the last table by its second column, and tells whether it is sorted then. */
function sorts() {
  const table = [...document.querySelectorAll("table")].filter(table => table.querySelector("th button")).at(-1);
  if (!table) return true;
  const values = () => [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.sort));
  const isSorted = list => list.every((value, index) => index === 0 || list[index - 1] <= value);
  const button = table.querySelectorAll("th button")[1];
  button.click();
  const rising = isSorted(values());
  button.click();
  return rising && isSorted(values().reverse());
}

const browser = await puppeteer.launch({
  executablePath: process.env.BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});
try {
  for (const file of process.argv.slice(2)) {
    const name = path.basename(file, ".html"), url = pathToFileURL(path.resolve(file)).href;
    const colors = new Set();
    for (const scheme of ["light", "dark"]) {
      for (const width of widths) {
        const page = await browser.newPage();
        const report = problem => problems.push(`${name}, ${width} px, ${scheme}: ${problem}`);
        page.on("console", message => message.type() === "error" && report(`console: ${message.text()}`));
        page.on("pageerror", error => report(`error: ${error}`));
        page.on("request", request => {
          if (request.url() !== url && !request.url().startsWith("data:")) report(`request of ${request.url()}`);
        });
        await page.setViewport({ width, height: 900 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        await page.goto(url, { waitUntil: "load" });
        (await page.evaluate(inspect)).forEach(report);
        colors.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        if (process.env.SCREENSHOTS)
          await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}_${width}_${scheme}.png`), fullPage: true });
        if (width === 1000 && scheme === "light") {
          const { found, count } = await page.evaluate(compare);
          found.forEach(report);
          console.log(`${name}: ${count} numbers are those of the JSON object`);
          if (!(await page.evaluate(sorts))) report("a heading does not sort its table");
        }
        await page.close();
      }
    }
    if (colors.size !== 2) problems.push(`${name}: light and dark do not differ`);
  }
} finally {
  await browser.close();
}
problems.forEach(problem => console.error(problem));
console.log(problems.length ? `${problems.length} problems` : "no problems");
process.exitCode = problems.length ? 1 : 0;
