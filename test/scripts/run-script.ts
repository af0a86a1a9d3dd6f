/** Runs one of scripts/, for the tests of the checks: a check must be able to fail. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import { onTestFinished } from 'vitest';

export interface ScriptResult {
  code: number | null;
  /** The lines of stderr, sorted. */
  breaches: string[];
}

export function runScript(name: string, ...args: string[]): ScriptResult {
  const script = path.join(__dirname, '..', '..', 'scripts', name);
  const { status, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', timeout: 60_000 });
  return { code: status, breaches: stderr.trim().split('\n').sort() };
}

/** A temporary folder with these files, gone after the test. */
export function temporaryTree(files: Readonly<Record<string, string>>): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-test-'));
  onTestFinished(() => {
    fs.rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** Runs the C++ compiler in `folder`; throws with what it says when it fails. */
export function compile(folder: string, ...args: string[]): void {
  const compiler = process.env.CXX ?? 'c++';
  const { status, stderr } = spawnSync(compiler, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`${compiler} ${args.join(' ')}: ${stderr}`);
}
