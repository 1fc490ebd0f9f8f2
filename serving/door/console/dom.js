// Building the page. Texts of logs, catalogues and models become text nodes here and nowhere become markup.

/** An element; strings and numbers among the children become text, `null` and `false` are left out. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Sets a custom property: the policy of the page allows it, a style attribute not. */
export function withStyle(node, name, value) {
  node.style.setProperty(name, value);
  return node;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}

export function score(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return signed(value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 0.01 || size === 0 ? 3 : 5));
}

/** A figure that stands alone: whole numbers without a fraction. */
export const figure = (value) => (Number.isInteger(value) ? signed(String(value)) : score(value));

const signed = (digits) => digits.replace("-", "\u2212");

export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const WHEN = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
});

/** A moment as a `time` element, in UTC like the log. */
export function moment(iso) {
  return el("time", { datetime: iso, title: `${iso} (UTC)` }, WHEN.format(new Date(iso)).replace(",", ""));
}
