// Tables as RFC 4180, guarded as whence.explain.render.table guards them.

/** A spreadsheet runs a cell that starts so as a formula (OWASP, "CSV Injection"). */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠']/;

/** Lines that end in CR LF. A text that a spreadsheet could run gets a leading apostrophe; numbers stay. */
export function toCsv(rows: readonly (readonly (string | number)[])[]): string {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
