/** No random value is drawn twice, in a process and its children; docs/fork-safety.md, "Randomness". */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const root = path.join(__dirname, '..', '..');

describe('no value of parent, child and grandchild is in another', () => {
  it.each([
    ['a million of each', 'everyStream'],
    ['in contexts of node:vm', 'contexts'],
    ['when nothing was drawn before', 'untouched'],
    ['while the pool fills the cache of randomInt', 'refillQueued'],
    ['when the pool has filled the cache of randomInt', 'refillDone'],
    ['while randomInt waits for the pool with a callback', 'refillAwaited'],
    ['among the ids of DNS queries', 'queryIds'],
  ])('%s', async (_, name) => {
    expect(await fixturePasses('fork-random.cjs', { args: [name], timeout: 110_000 })).toBe('done\n');
  });

  it('eight generations deep', async () => {
    const output = await fixturePasses('fork-random.cjs', { args: ['generations'], execArgv: ['--expose-gc'] });
    expect(output).toBe('done\n');
  });

  it('when a hook is the first to draw', async () => {
    expect(await fixturePasses('fork-random-in-hook.cjs')).toBe('done\n');
  });

  it('where what node:crypto has drawn ahead cannot be found', async () => {
    const execArgv = ['--frozen-intrinsics', '--no-warnings'];
    expect(await fixturePasses('fork-random.cjs', { args: ['untouched'], execArgv })).toBe('done\n');
  });

  it.skipIf(process.getuid?.() !== 0)('also of OpenSSL, when the pid is the same (as root only)', async () => {
    expect(await fixturePasses('fork-random-pid.cjs')).toBe('done\n');
  });
});

describe('the code of docs/fork-safety.md', () => {
  const page = readFileSync(path.join(root, 'docs', 'fork-safety.md'), 'utf8');
  const examples = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code ?? '');

  it.each([
    ['nanoid', 2],
    ['uuid', 8],
  ])('%s', async (name, count) => {
    const code = examples.find((each) => each.includes(`from '${name}'`)) ?? '';
    // Inside the package, which can then import itself by its name.
    const file = path.join(root, '.cache', `example-${name}.mjs`);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, code);
    const output = await fixturePasses(file);
    const ids = output.trim().split('\n');
    expect([ids.length, new Set(ids).size], output).toEqual([count, count]);
  });
});
