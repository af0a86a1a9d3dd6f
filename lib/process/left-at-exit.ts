/** Children that are still there when this process, or this Worker, exits: what nobody has waited for is often a leak. */
import { WaitError } from '../errors';
import { validateOneOf } from '../internal/validate';

/** What a ChildHandle has for this. */
export interface WatchedAtExit {
  readonly pid: number;
  readonly spawnfile: string | null;
  /** Whether it has ended by now. */
  look(): boolean;
  /** @throws AtforkError EPERM */
  endAtExit(): void;
}

/** What is done about such a child: nothing, a warning, or a signal: its `killSignal`. */
export type LeftAtExit = 'ignore' | 'warn' | 'kill';

const kinds = ['ignore', 'warn', 'kill'] as const;

const watched = new Map<WatchedAtExit, Exclude<LeftAtExit, 'ignore'>>();

export function validateLeftAtExit(value: unknown, name: string): asserts value is LeftAtExit {
  validateOneOf(value, name, kinds);
}

export function watchAtExit(child: WatchedAtExit, kind: LeftAtExit): void {
  if (kind === 'ignore') return;
  watched.set(child, kind);
  // It may have been removed: by a fork without `exitListeners`, by the program.
  if (!process.listeners('exit').includes(reportThoseLeft)) process.on('exit', reportThoseLeft);
}

export function unwatchAtExit(child: WatchedAtExit): void {
  watched.delete(child);
}

function reportThoseLeft(): void {
  const failures: unknown[] = [];
  const names = [...watched].filter(([child, kind]) => isLeft(child, kind, failures)).map(([child]) => describe(child));
  if (names.length > 0) warnOf(names);
  if (failures.length > 0) throw failures[0];
}

function warnOf(names: readonly string[]): void {
  const warning = new Error(
    `${String(names.length)} child process${names.length === 1 ? '' : 'es'} left: ${names.join(', ')}`,
  );
  // At once: what process.emitWarning() leaves for the next tick would never come.
  process.emit('warning', Object.assign(warning, { name: 'ChildrenLeftWarning', code: 'ATFORK_CHILDREN_LEFT' }));
}

/** Whether it is there, and stays. Nothing of one child keeps the others from being looked at. */
function isLeft(child: WatchedAtExit, kind: LeftAtExit, failures: unknown[]): boolean {
  try {
    if (child.look()) return false;
  } catch (error) {
    // Somebody else has reaped it, and nobody listens to that; or a listener has failed.
    if (!(error instanceof WaitError)) failures.push(error);
    return false;
  }
  if (kind === 'warn') return true;
  try {
    child.endAtExit();
    return false;
  } catch {
    return true;
  }
}

function describe({ pid, spawnfile }: WatchedAtExit): string {
  return `${String(pid)} (${spawnfile ?? 'a fork of this process'})`;
}
