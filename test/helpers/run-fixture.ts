/**
 * Runs a fixture, a small script of test/fixtures, in a process of its own: no test forks inside the test runner.
 *
 * The fixture leads a session and carries a marker in its environment, so that everything it forks can be found. Its run
 * is bounded: past the bound, and after its end, whatever is left of it is killed, and the test fails with the output.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import * as path from 'node:path';

import { type ProcessStat, allProcesses, hasEnded, processStat, startedWithEnv } from './proc.mjs';

export interface FixtureOptions {
  args?: readonly string[];
  /** Options of Node itself, before the script. */
  execArgv?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Written to the fixture's stdin, which then ends. Default: stdin is /dev/null. */
  input?: string;
  /** Milliseconds until the fixture and its descendants are killed. Default 30,000. */
  timeout?: number;
  /** Default: $ATFORK_TEST_NODE, else the Node that runs the tests. */
  node?: string;
}

export interface FixtureResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  timedOut: boolean;
}

const fixtures = path.join(__dirname, '..', 'fixtures');
const marker = 'ATFORK_TEST_FIXTURE';
/** $ATFORK_TEST_LATE: see late.cjs. */
const optionsOfAll = process.env.ATFORK_TEST_LATE === undefined ? '' : `--require=${path.join(__dirname, 'late.cjs')}`;

/**
 * Runs `fixture` (a path relative to test/fixtures, or an absolute one) to its end or to the timeout.
 *
 * @throws Error when a process that it started was still running after its end; it is killed by then.
 */
export async function runFixture(fixture: string, options: FixtureOptions = {}): Promise<FixtureResult> {
  const mark = `${marker}=${randomUUID()}`;
  const [name, value] = mark.split('=') as [string, string];
  const node = options.node ?? process.env.ATFORK_TEST_NODE ?? process.execPath;
  const argv = [...(options.execArgv ?? []), path.resolve(fixtures, fixture), ...(options.args ?? [])];
  const child = spawn(node, argv, {
    detached: true,
    // Options of Node that the caller has, and certificates to read, are not for it.
    env: { ...process.env, NODE_OPTIONS: optionsOfAll, NODE_EXTRA_CA_CERTS: '', ...options.env, [name]: value },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const output = collectOutput(child);
  child.stdin?.end(options.input);

  const end = await endOf(child, options.timeout ?? 30_000);
  const survivors = await killSurvivors(child.pid, mark, end.timedOut ? 0 : 1000);
  const result: FixtureResult = { ...end, ...output() };
  if (survivors.length > 0 && !end.timedOut) {
    const list = survivors.map((stat) => `${String(stat.pid)} (${stat.name}, ${stat.state})`).join(', ');
    throw new Error(`${fixture} left processes running: ${list}\n${describeFixture(result)}`);
  }
  return result;
}

/** Runs `fixture` and returns its stdout; throws with all of its output unless it exits with 0 in time. */
export async function fixturePasses(fixture: string, options: FixtureOptions = {}): Promise<string> {
  const result = await runFixture(fixture, options);
  if (result.code !== 0) throw new Error(`${fixture} failed: ${describeFixture(result)}`);
  return result.stdout;
}

/** How a fixture ended and what it printed, for an assertion's message. */
export function describeFixture(result: FixtureResult): string {
  const end = result.timedOut ? 'timed out' : `code ${String(result.code)}, signal ${String(result.signal)}`;
  return `${end}\n--- stdout\n${result.stdout}\n--- stderr\n${result.stderr}`;
}

function collectOutput(child: ChildProcess): () => { stdout: string; stderr: string } {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdin?.on('error', () => undefined); // EPIPE: the fixture may end without reading its input
  return () => ({ stdout, stderr });
}

/** Resolves when the fixture has ended and nobody holds its output open any more, or at the timeout after a SIGKILL. */
function endOf(child: ChildProcess, timeout: number): Promise<Pick<FixtureResult, 'code' | 'signal' | 'timedOut'>> {
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
      // A descendant in another process group may still hold the pipes; the marker finds it after this.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, timeout);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, timedOut });
    });
  });
}

/**
 * Kills what is left of a fixture and returns it. A process that has closed its output may still be about to end, hence
 * the grace (milliseconds).
 */
async function killSurvivors(session: number | undefined, mark: string, grace: number): Promise<ProcessStat[]> {
  const find = (): ProcessStat[] =>
    allProcesses().filter((stat) => !hasEnded(stat) && (stat.sid === session || startedWithEnv(stat.pid, mark)));
  const deadline = performance.now() + grace;
  let found = find();
  while (found.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    found = find();
  }
  const survivors = found;
  // Again until none is found: one may have forked between the look and the kill. Bounded, as a fork bomb would not be.
  for (let round = 0; found.length > 0 && round < 1000; ++round) {
    for (const stat of found) killProcess(stat.pid);
    await new Promise((resolve) => setTimeout(resolve, 10));
    // A process that is about to end has no environment any more.
    found = [...find(), ...survivors.filter(({ pid }) => isRunning(pid))];
  }
  return survivors;
}

export function isRunning(pid: number): boolean {
  const stat = processStat(pid);
  return stat !== null && !hasEnded(stat);
}

function killGroup(leader: number | undefined): void {
  if (leader !== undefined) killProcess(-leader);
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ESRCH: it has ended meanwhile.
  }
}
