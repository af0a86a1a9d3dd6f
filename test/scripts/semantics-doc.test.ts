import { expect, it } from 'vitest';

import { runScript, temporaryTree } from './run-script';

const claim = { area: 'locks', situation: 'A fork', posix: 'p', glibc: 'g', atfork: 'a', also: 'other' };
const shown = { test: 'first', result: 'passed', why: '', seen: 'EBUSY', claim };
const other = { test: 'other', result: 'passed', why: '', seen: '' };

const row = (glibc: string, result: string) => `| A fork | p | ${glibc} | a | \`first\`, \`other\` | ${result} |`;
const stale = 'docs/atfork-semantics.md is not what the tests say: run `node scripts/semantics-doc.mjs`';

/** The script's look at a page with one row and these results. */
function check(line: string, ...results: object[]) {
  const head = ['situation', 'POSIX', 'glibc', 'atfork', 'shown by', 'result'].join(' | ');
  const table = `| ${head} |\n| --- | --- | --- | --- | --- | --- |\n${line}`;
  const folder = temporaryTree({
    'docs/atfork-semantics.md': `<!-- system -->\nglibc 2.0, Linux 1.0\n<!-- /system -->\n\n<!-- locks -->\n${table}\n<!-- /locks -->\n`,
    '.cache/claims.jsonl': [{ glibc: '2.36', kernel: '6.1.0-1' }, ...results]
      .map((each) => JSON.stringify(each))
      .join('\n'),
  });
  return runScript('semantics-doc.mjs', '--check', folder);
}

it('accepts what the tests say, whatever was seen on the system where the page was written', () => {
  for (const result of ['passed: `EBUSY`', 'passed: `0`', 'passed', 'not run here: no _Fork']) {
    expect(check(row('g', result), shown, other)).toEqual({ code: 0, breaches: [''] });
  }
  const cannot = { ...shown, result: 'cannot', why: 'no _Fork' };
  expect(check(row('g', 'passed'), cannot, other)).toEqual({ code: 0, breaches: [''] });
});

it('does not accept another text, a row too many or one too few', () => {
  expect(check(row('G', 'passed'), shown, other)).toEqual({ code: 1, breaches: [stale] });
  const second = { ...shown, test: 'second', claim: { ...claim, situation: 'Another', also: '' } };
  expect(check(row('g', 'passed'), shown, other, second)).toEqual({ code: 1, breaches: [stale] });
  expect(check(row('g', 'passed'), { ...shown, claim: undefined }, other, second).code).toBe(1);
});

it('does not accept a row of which a test has failed or has not run', () => {
  const broken = (why: string) => ({ code: 1, breaches: [`"A fork" is not shown: ${why}`, stale] });
  const failed = { result: 'failed', why: 'exit code 1' };
  expect(check(row('g', 'passed'), { ...shown, ...failed }, other)).toEqual(broken('first failed'));
  expect(check(row('g', 'passed'), shown, { ...other, ...failed })).toEqual(broken('other failed'));
  expect(check(row('g', 'passed'), shown)).toEqual(broken('other has not run'));
  // Nor where the page admits it.
  expect(check(row('g', '**FAILED**: other has not run'), shown).code).toBe(1);
});
