/** Forks under garbage collection, JIT, Worker and thread-pool churn: test/stress/churn.mjs. Takes long. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../lib/run.mjs';

export async function measure({ node, samples }) {
  const forks = samples(10_000);
  const args = [path.join(root, 'test', 'stress', 'churn.mjs'), '--forks', String(forks), '--node', node];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let last = 'it printed nothing';
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.trim() !== '') last = line;
  }
  const [code, signal] = await exited;
  return [
    {
      what: 'forks under load',
      must: '0 bad exits, hangs, zombies, lost fds',
      measured: last,
      n: forks,
      ok: code === 0,
      values: { code, signal },
    },
  ];
}
