/**
 * The process that takes the names of shared locks away when those who use them have ended: Python's resource_tracker.
 *
 * It reads a pipe that this process alone writes to, so it learns of its end, SIGKILL included. Then it waits until no process
 * uses a lock (native/posix/presence.h), takes the name away, and ends. A child of a fork has a tracker of its own, when it
 * creates a name.
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

import { nativeBinding } from '../binding';
import { AtforkError, type NativeErrorInfo, fromNative } from '../errors';
import { errno } from '../internal/errno';
import type { NativeSharedLock } from '../internal/native-shared';

const program = path.join(__dirname, 'tracker-main.js');

/** For a program that reads a few lines: one thread beside its own, and little memory. */
const frugal = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-deprecation'];

/** The inodes of names that this thread has created, for a tracker that takes the place of one that was killed. */
const created = new Map<string, number>();

/** One that ends whenever it is started will not be started for ever. */
const mostReplacements = 10;
let replacements = 0;

/** A new lock of that name, of which the tracker knows before anybody else can. */
export function createTracked(name: string): NativeSharedLock | NativeErrorInfo {
  const native = nativeBinding();
  startTracker();
  let lock = native.createSharedLock(name, true);
  if ('errnum' in lock && lock.errnum === errno.EPIPE) {
    // It has been killed, and this thread has not heard of it.
    native.closeTracker();
    startTracker();
    lock = native.createSharedLock(name, true);
  }
  if (!('errnum' in lock)) created.set(name, fs.fstatSync(lock.fd).ino);
  return lock;
}

/** It was unlinked. */
export function forgetName(name: string): void {
  created.delete(name);
}

/** Starts it if there is none. */
function startTracker(): void {
  const native = nativeBinding();
  const fd = native.openTracker();
  if (typeof fd !== 'number') throw fromNative(AtforkError, fd);
  if (fd < 0) return;
  for (const [name, inode] of created) native.tellTracker(name, inode);
  const { pid } = process;
  const giveUp = (): void => {
    // The one of a child's parent is none of its business.
    if (process.pid === pid) native.closeTracker();
  };
  const replace = (): void => {
    giveUp();
    if (process.pid === pid && created.size > 0 && replacements++ < mostReplacements) startTracker();
  };
  try {
    // A session of its own: what ends this one, with its process group, is not to end it. No folder kept from being
    // unmounted, and no options of Node's that the program was given.
    const tracker = spawn(process.execPath, [...frugal, program], {
      stdio: [fd, 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
      env: { UV_THREADPOOL_SIZE: '1' },
    });
    tracker.on('error', giveUp).on('exit', replace).unref();
  } catch (error) {
    giveUp();
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}
