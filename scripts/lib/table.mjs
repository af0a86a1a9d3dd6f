/** Rows for people to read: columns as wide as their widest cell, the heads from the keys of the first row. */
export function table(rows) {
  const keys = Object.keys(rows[0]);
  const all = [Object.fromEntries(keys.map((key) => [key, key])), ...rows];
  const widths = keys.map((key) => Math.max(...all.map((row) => String(row[key]).length)));
  const lineOf = (row) => keys.map((key, column) => String(row[key]).padEnd(widths[column])).join('  ');
  return all.map((row) => lineOf(row).trimEnd()).join('\n');
}
