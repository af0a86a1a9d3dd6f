/**
 * A process that leads a session of its own, with all that it forks: nothing of it is there afterwards, whatever becomes of
 * it. Nothing that it starts opens another session.
 */
import { spawn } from 'node:child_process';

import { describeThreads } from './hang.cjs';
import { allProcesses, hasEnded } from './proc.mjs';

/** Options of Node that its caller has, and certificates to read at its start, are not for it. */
const withoutWishes = { NODE_OPTIONS: undefined, NODE_EXTRA_CA_CERTS: undefined };

const members = (session) => allProcesses().filter((stat) => stat.sid === session && !hasEnded(stat));

/** Kills what is still there of a session, and describes it. */
function endSession(session) {
  const left = members(session);
  const text = left.map(({ pid, name }) => `left: ${pid} (${name})\n${describeThreads(pid)}\n`).join('');
  for (let round = 0; round < 100 && members(session).length > 0; ++round) {
    for (const { pid } of members(session)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ESRCH: it has ended meanwhile.
      }
    }
  }
  return text;
}

/**
 * Runs a program to its end, or to one of the bounds.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {object} options
 * @param {string} options.cwd
 * @param {Record<string, string>} [options.env] added to the environment
 * @param {number} [options.timeout] milliseconds that it may take
 * @param {number} [options.silence] milliseconds that it may say nothing
 * @param {(text: string) => void} [options.onOutput] gets its output as it comes
 * @returns {Promise<{ code: number | null, signal: string | null, output: string, left: string }>} `left`: what was there
 *   of the session at the bound or after the program's end, and is no more; empty when nothing was
 */
export function runSession(file, args, { cwd, env, timeout, silence, onOutput = () => {} }) {
  return new Promise((resolve, reject) => {
    let output = '';
    let left = null;
    const child = spawn(file, args, {
      cwd,
      detached: true,
      env: { ...process.env, ...withoutWishes, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const bound = (what, ms) => {
      if (ms === undefined) return undefined;
      return setTimeout(() => (left ??= `no ${what} within ${ms} ms\n${endSession(child.pid)}`), ms);
    };
    const timers = [bound('end', timeout), bound('output', silence)];
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
        timers[1]?.refresh();
        onOutput(text);
      });
    child.once('error', reject);
    child.once('exit', () => {
      left ??= endSession(child.pid);
    });
    child.once('close', (code, signal) => {
      timers.forEach(clearTimeout);
      resolve({ code, signal, output, left });
    });
  });
}
