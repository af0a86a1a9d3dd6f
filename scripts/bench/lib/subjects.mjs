/**
 * The processes that are measured: each is a fresh Node that runs one file of scripts/bench/subjects, and is asked over
 * its stdin and stdout, a line of JSON each (subject.cjs is the other end).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../../lib/run.mjs';

/** Milliseconds that a subject may live, all of its measurement included. */
const lifetime = 1_800_000;

/** Milliseconds that it may take to leave once it has been told to. */
const leaveTimeout = 10_000;

const running = new Set();

/**
 * @param {string} name the file in scripts/bench/subjects, without .cjs
 * @param {readonly string[]} args the file's own
 * @param {{ node: string, execArgv?: readonly string[] }} options
 */
export function startSubject(name, args, { node, execArgv = [] }) {
  const file = path.join(root, 'scripts', 'bench', 'subjects', `${name}.cjs`);
  // In a process group of its own, so that forked children can be killed with it.
  const child = spawn(node, [...execArgv, file, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
    // Node 20 reads the certificates at its start, for as long as all the rest of it takes; and fork() before the first fork.
    env: { ...process.env, NODE_OPTIONS: '', NODE_EXTRA_CA_CERTS: '' },
  });
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // ESRCH: all of them have ended.
    }
  };
  running.add(kill);
  const limit = setTimeout(kill, lifetime);
  const exited = once(child, 'exit').finally(() => {
    clearTimeout(limit);
    running.delete(kill);
  });
  exited.catch(() => {}); // ask() tells
  child.stdin.on('error', () => {}); // EPIPE: ask() tells
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  return {
    /** Has it run one of its commands, and returns the answer. One at a time. */
    async ask(command, ...parameters) {
      child.stdin.write(`${JSON.stringify([command, ...parameters])}\n`);
      const { value, done } = await answers.next();
      if (!done) return JSON.parse(value);
      const [code, signal] = await exited;
      throw new Error(`${[name, ...args].join(' ')}: ended with ${signal ?? code} instead of an answer to ${command}`);
    },

    /** Lets it leave, by force if need be. */
    async end() {
      child.stdin.end();
      const patience = setTimeout(kill, leaveTimeout);
      const [code, signal] = await exited;
      clearTimeout(patience);
      if (code !== 0) throw new Error(`${[name, ...args].join(' ')}: left with ${signal ?? code}`);
    },
  };
}

/**
 * Asks each of `subjects` for the same `count` times, one after the other and never one twice in a row, which would find
 * its caches warm: half of the times in the given order, half in the opposite one.
 *
 * @returns the answers under the names of the subjects
 */
export async function takeTurns(subjects, command, count) {
  const order = Object.entries(subjects);
  const answers = Object.fromEntries(order.map(([name]) => [name, []]));
  for (let turn = 0; turn < count; ++turn) {
    if (turn === Math.ceil(count / 2)) order.reverse();
    for (const [name, subject] of order) answers[name].push(await subject.ask(command));
  }
  return answers;
}

/** Kills every subject that still runs, with all its children. */
export function killSubjects() {
  for (const kill of running) kill();
}
