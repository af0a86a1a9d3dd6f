/**
 * Writes the two tables of docs/errors.md from lib/errors.ts, so that no class or code goes undocumented.
 *
 *   node scripts/errors-doc.mjs            writes them
 *   node scripts/errors-doc.mjs --check    exits with 1 when they are not up to date
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import ts from 'typescript';

import { root } from './lib/run.mjs';

const page = path.join(root, 'docs', 'errors.md');
const sourceFile = path.join(root, 'lib', 'errors.ts');
const source = ts.createSourceFile(sourceFile, readFileSync(sourceFile, 'utf8'), ts.ScriptTarget.Latest, true);

const before = readFileSync(page, 'utf8');
const after = fill(fill(before, 'classes', classTable()), 'codes', codeTable());
if (!process.argv.includes('--check')) {
  writeFileSync(page, after);
} else if (after !== before) {
  console.error('docs/errors.md is not what lib/errors.ts says: run `node scripts/errors-doc.mjs`');
  process.exitCode = 1;
}

/** Every exported error class with the first paragraph of its comment. */
function classTable() {
  const rows = source.statements
    .filter((node) => ts.isClassDeclaration(node))
    .map((node) => `| \`${node.name.text}\` | ${comment(node)} |`);
  return ['| class | when |', '|---|---|', ...rows].join('\n');
}

/** Every entry of the object `codes`. */
function codeTable() {
  const codes = source.statements
    .filter((node) => ts.isVariableStatement(node))
    .flatMap((node) => node.declarationList.declarations)
    .find((node) => node.name.getText() === 'codes').initializer.expression;
  const rows = codes.properties.map((row) => `| \`${row.name.getText()}\` | ${row.initializer.text} |`);
  return ['| code | meaning |', '|---|---|', ...rows].join('\n');
}

function comment(node) {
  const text = ts.getTextOfJSDocComment(ts.getJSDocCommentsAndTags(node)[0]?.comment);
  if (text === undefined) throw new Error(`${node.name.text} has no doc comment`);
  return text.split('\n\n')[0].replaceAll('\n', ' ');
}

/** `text` with what stands between the two marks of `name` replaced. */
function fill(text, name, table) {
  const marks = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- /${name} -->)`);
  if (!marks.test(text)) throw new Error(`${page} has no place for ${name}`);
  return text.replace(marks, (_, open, close) => `${open}${table}${close}`);
}
