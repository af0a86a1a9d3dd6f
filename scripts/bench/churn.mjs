/** Forks under garbage collection, JIT, Worker and thread-pool churn: the whole of test/stress/churn.mjs. Takes long. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../lib/run.mjs';

export async function measure({ node }) {
  const child = spawn(node, [path.join(root, 'test', 'stress', 'churn.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let last = 'it printed nothing';
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(line);
    if (line.trim() !== '') last = line;
  }
  const [code, signal] = await exited;
  return [
    {
      what: 'forks under load',
      must: '0 bad exits, hangs, zombies, lost fds',
      measured: last,
      n: 1,
      ok: code === 0,
      values: { code, signal },
    },
  ];
}
