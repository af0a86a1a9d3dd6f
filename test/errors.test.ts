import { inspect } from 'node:util';

import { expect, it } from 'vitest';

import { ForkError, WaitError, errnoName, fromNative } from '../lib/errors';

const failure = { errnum: 11, syscall: 'fork', stage: 'fork', code: null, detail: '' };

it('makes an error of a failed system call in the shape of Node', () => {
  const error = fromNative(ForkError, failure);
  expect(error).toBeInstanceOf(ForkError);
  expect(Object.fromEntries(Object.entries(error))).toEqual({
    code: 'EAGAIN',
    errno: -11,
    syscall: 'fork',
    stage: 'fork',
  });
  expect(error.message).toBe('EAGAIN: resource temporarily unavailable, fork');
  expect(error.name).toBe('ForkError');
  expect(inspect(error)).toMatch(/^ForkError: EAGAIN: /);
});

it('knows the POSIX names that libuv has none for', () => {
  expect([8, 10, 35, 130, 131].map(errnoName)).toEqual([
    'ENOEXEC',
    'ECHILD',
    'EDEADLK',
    'EOWNERDEAD',
    'ENOTRECOVERABLE',
  ]);
  expect(fromNative(WaitError, { ...failure, errnum: 10, syscall: 'waitid' }).message).toBe(
    'ECHILD: no child processes, waitid',
  );
  expect(errnoName(9999)).toBe('UNKNOWN_9999');
});

it('makes an error of a refusal, with no field that does not apply', () => {
  const refusal = {
    errnum: 0,
    syscall: '',
    stage: 'prepare',
    code: 'ERR_ATFORK_LOCK_TIMEOUT',
    detail: 'held by thread 7',
  };
  const error = fromNative(ForkError, refusal);
  expect(Object.fromEntries(Object.entries(error))).toEqual({ code: 'ERR_ATFORK_LOCK_TIMEOUT', stage: 'prepare' });
  expect(error.message).toBe(
    'ERR_ATFORK_LOCK_TIMEOUT: another thread held the lock for the whole of lockTimeout: held by thread 7',
  );
});

it('keeps a cause', () => {
  const cause = new Error('first');
  expect(new ForkError('second', { code: 'EIO', cause }).cause).toBe(cause);
  expect(new ForkError('second', { code: 'EIO' })).not.toHaveProperty('cause');
});
