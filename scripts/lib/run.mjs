/** Running other programs, for every script of this folder: output goes straight through, a failure ends the script. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's top folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/**
 * Runs a program in the repository's top folder.
 *
 * @param {string} file looked up in PATH; the locked versions in node_modules/.bin come first
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, stdout?: string }} [options] variables added to the environment; a file that
 *   takes the output instead (a pipe would keep us here for as long as any descendant holds it open)
 * @returns {boolean} whether it exited with 0
 */
export function run(file, args, options = {}) {
  const stdout = options.stdout === undefined ? 'inherit' : openSync(options.stdout, 'w');
  const { status, signal, error } = spawnSync(file, args, {
    cwd: root,
    stdio: ['inherit', stdout, 'inherit'],
    env: { ...process.env, PATH: searchPath(), ...options.env },
  });
  if (stdout !== 'inherit') closeSync(stdout);
  if (error !== undefined) console.error(`${file}: ${error.message}`);
  else if (signal !== null) console.error(`${file}: ended by ${signal}`);
  return status === 0;
}

/** Runs a program like {@link run} and returns its stdout; throws with its stderr when it fails. */
export function outputOf(file, args) {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: searchPath() },
    maxBuffer: 64 << 20,
  });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

function searchPath() {
  return [path.join(root, 'node_modules', '.bin'), process.env.PATH].join(path.delimiter);
}
