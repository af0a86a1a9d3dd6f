/** Forks in great numbers: test/stress/churn.mjs, a row for each of its cases. Takes long. */
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
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (/^(ok|FAIL) /.test(line)) lines.push(line);
  }
  const [code, signal] = await exited;
  if (lines.length === 0) throw new Error(`test/stress/churn.mjs ended with ${signal ?? code}`);
  return lines.map((line) => {
    const [, verdict, what, measured] = /^(ok|FAIL) +(.*?): (.*)$/.exec(line);
    return {
      what,
      must: '0 bad exits, hangs, zombies, lost fds, wrong warnings',
      measured,
      n: forks,
      ok: verdict === 'ok',
      values: {},
    };
  });
}
