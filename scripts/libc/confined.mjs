/**
 * Runs a program so that nothing of it can outlive us: bounded, its output in a file, in namespaces of its own.
 *
 * Calls:  setpriv(1) --pdeathsig, unshare(1) --kill-child. Our end, even by SIGKILL, ends unshare; that ends pid 1 of
 *         the new pid namespace; that ends every process in it and, with the last of them, the mount namespace and its
 *         mounts: pid_namespaces(7), mount_namespaces(7), PR_SET_PDEATHSIG(2const). No cleanup that could be missed.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';

const namespaces = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'];

/** 139 -> 'SIGSEGV': how a shell reports that its command died by a signal. */
function describe(code, signal) {
  if (signal) return signal;
  const died = Object.entries(constants.signals).find(([, number]) => code === 128 + number);
  return died ? died[0] : `exit ${code}`;
}

/**
 * Runs `command` as pid 1 of new mount and pid namespaces, stdin empty, stdout and stderr in `logFile`.
 *
 * @param {string[]} command program and arguments
 * @param {{ logFile: string, timeout: number, env?: NodeJS.ProcessEnv }} options `timeout` in ms, then all is killed
 * @returns {Promise<{ ok: boolean, outcome: string, ms: number }>} `outcome`: 'ok', 'exit 3', 'SIGSEGV', 'timed out'
 * @throws when setpriv cannot be started (rejection)
 */
export function runConfined(command, { logFile, timeout, env = process.env }) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const log = openSync(logFile, 'w');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...namespaces, ...command], {
      stdio: ['ignore', log, log],
      env,
    });
    closeSync(log);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeout);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      const ok = code === 0;
      resolve({
        ok,
        outcome: ok ? 'ok' : timedOut ? 'timed out' : describe(code, signal),
        ms: performance.now() - started,
      });
    });
  });
}
