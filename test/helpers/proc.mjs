// @ts-check
/**
 * What /proc knows of processes, for tests and, as plain JavaScript, for the fixtures that they run.
 * proc(5). Linux only.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/**
 * @typedef {object} ProcessStat
 * @property {number} pid
 * @property {string} name the kernel's `comm`, at most 15 characters
 * @property {string} state one letter of proc(5): R, S, D, Z, T, ...
 * @property {number} ppid
 * @property {number} pgid
 * @property {number} sid
 */

/**
 * @param {number | 'self'} pid
 * @returns {ProcessStat | null} null when there is no such process
 */
export function processStat(pid) {
  const text = readOrNull(`/proc/${String(pid)}/stat`);
  if (text === null) return null;
  // The name may itself contain spaces and parentheses: the fields begin after the last `)`.
  const close = text.lastIndexOf(')');
  const open = text.indexOf('(');
  const [state = '', ppid, pgid, sid] = text.slice(close + 2).split(' ');
  return {
    pid: Number(text.slice(0, open - 1)),
    name: text.slice(open + 1, close),
    state,
    ppid: Number(ppid),
    pgid: Number(pgid),
    sid: Number(sid),
  };
}

/** @returns {ProcessStat[]} every process that can be seen */
export function allProcesses() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processStat(Number(name)))
    .filter((stat) => stat !== null);
}

/** Whether a process has ended, whether or not somebody has reaped it. @param {ProcessStat} stat */
export function hasEnded(stat) {
  return stat.state === 'Z' || stat.state === 'X';
}

/** @returns {ProcessStat[]} the children of this process that ended and that nobody has reaped */
export function zombieChildren(pid = process.pid) {
  return allProcesses().filter((stat) => stat.ppid === pid && hasEnded(stat));
}

/**
 * Whether `pid` was started with `entry` (`NAME=value`) in its environment. A fork inherits this, setenv(3) does not
 * change it; a process that ended has none.
 * @param {number} pid
 * @param {string} entry
 */
export function startedWithEnv(pid, entry) {
  return (
    readOrNull(`/proc/${String(pid)}/environ`)
      ?.split('\0')
      .includes(entry) ?? false
  );
}

/** @returns {Map<number, string>} this process's open file descriptors and what each refers to */
export function openFds() {
  const fds = new Map();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      fds.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The descriptor that listed the folder is closed by now.
    }
  }
  return fds;
}

/**
 * How `after` differs from `before`, one line per descriptor; empty when it does not.
 * @param {ReadonlyMap<number, string>} before
 * @param {ReadonlyMap<number, string>} after
 * @returns {string[]}
 */
export function fdDifference(before, after) {
  const numbers = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b);
  return numbers
    .filter((fd) => before.get(fd) !== after.get(fd))
    .map((fd) => `${String(fd)}: ${before.get(fd) ?? 'closed'} -> ${after.get(fd) ?? 'closed'}`);
}

/** @param {string} file */
function readOrNull(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
