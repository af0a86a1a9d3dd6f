import { expect, test } from 'vitest';

import type { ThreadInfo } from '../../lib/census/threads';
import { fixturePasses } from '../helpers/run-fixture';

interface Census {
  pid: number;
  program: string;
  tids: number[];
  listed: ThreadInfo[];
}

test.each([
  ['lists every thread of the process, and what started it', []],
  ['does so in a Worker of a process whose main thread has not loaded the package', ['worker']],
])('%s', async (_, args) => {
  const { pid, program, tids, listed } = JSON.parse(await fixturePasses('print-threads.cjs', { args })) as Census;
  expect(listed.map((thread) => thread.tid).sort()).toEqual(tids.sort());
  // Four V8 workers, the delayed-task thread, four of libuv's pool, a Worker, and the main thread.
  expect(listed.length).toBeGreaterThanOrEqual(11);

  const main = listed.filter((thread) => thread.tid === pid);
  expect(main).toEqual([{ tid: pid, name: 'a) R (b c', kind: 'main', module: program, afterFork: 'kept' }]);
  // Node starts its threads itself, and links libuv and V8 statically.
  expect(new Set(listed.map((thread) => thread.module))).toEqual(new Set([program]));
  for (const thread of listed.filter(({ tid }) => tid !== pid)) {
    expect(thread.kind).not.toBe('main');
    expect(thread.kind).not.toBe('foreign');
    expect(thread.afterFork).not.toBe('kept');
  }

  const described = listed.map(({ kind, afterFork }) => `${kind} ${afterFork}`);
  const count = (text: string): number => described.filter((each) => each === text).length;
  expect(new Set(described)).toEqual(
    new Set([
      ...['main kept', 'delayed-task revived', 'v8-worker revived', 'inspector revived'],
      ...['libuv-pool restarted', 'js-worker lost'],
    ]),
  );
  const several = ['delayed-task revived', 'v8-worker revived', 'libuv-pool restarted', 'js-worker lost'];
  expect(several.map(count)).toEqual([1, 4, 4, 1]);
});
