/** The examples in docs/ do what they say: each block of JavaScript is run as a program, and has to exit with 0. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const root = path.join(__dirname, '..', '..');
const pages = ['fork-safety.md', 'locks.md'];

/** The blocks of a page, each with the line that it begins at. */
function blocksOf(page: string): { line: number; code: string }[] {
  const text = fs.readFileSync(path.join(root, 'docs', page), 'utf8');
  return [...text.matchAll(/^```js\n([^]*?)^```$/gm)].map(({ 1: code = '', index }) => ({
    line: text.slice(0, index).split('\n').length,
    code,
  }));
}

describe.each(pages)('%s', (page) => {
  const blocks = blocksOf(page);
  expect(blocks).not.toEqual([]);

  it.each(blocks)('line $line', async ({ line, code }) => {
    // Inside the package, so that it finds itself by its name.
    const folder = path.join(root, '.cache', 'docs');
    const extension = /^import /m.test(code) ? 'mjs' : 'cjs';
    const file = path.join(folder, `${page}-${String(line)}.${extension}`);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(file, code);
    await fixturePasses(file);
  });
});
