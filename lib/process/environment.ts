/** The environment of a program that is started. */
import { isProxy } from 'node:util/types';
import { isMainThread } from 'node:worker_threads';

import { nativeBinding } from '../binding';
import { type NullTerminated, nullTerminated } from '../internal/native-exec';
import { invalidType, invalidValue, validateObject } from '../internal/validate';
import { hasWorkers } from '../internal/workers';

/**
 * `NAME=value` of each that is not undefined, inherited ones too, as child_process has it. Null is the environment of this process as
 * the C library has it: that is what `process.env` shows on the main thread, slowly. A Worker may write to it at any time (SHARE_ENV).
 *
 * @throws TypeError
 */
export function environmentOf(env: unknown, name: string): NullTerminated | null {
  if (env === process.env && isOwnEnvironment(env) && !hasWorkers()) return null;
  validateObject(env, name);
  const pairs: string[] = [];
  const variables = env as Record<string, unknown>;
  for (const key in variables) {
    const value = variables[key];
    if (value === undefined) continue;
    // What Object.prototype has been given is nobody's environment.
    if (key in Object.prototype && !Object.hasOwn(variables, key)) continue;
    if (typeof value === 'symbol') throw invalidType(`${name}['${key}']`, 'of type string', value);
    const pair = `${key}=${value as string}`;
    if (pair.includes('\0')) throw invalidValue(`${name}['${key}']`, 'must be a string without null bytes', value);
    pairs.push(pair);
  }
  return nullTerminated(pairs);
}

/** Not an object that the program has put in its place. Of names that are there twice it shows one. Looked at once for each. */
let known: { readonly env: object; readonly isOwn: boolean } | undefined;

function isOwnEnvironment(env: object): boolean {
  if (known?.env !== env)
    known = { env, isOwn: isMainThread && isNodes(env) && !nativeBinding().hasDuplicatesInEnvironment() };
  return known.isOwn;
}

/** Node's takes nothing but strings: src/node_env_var.cc, EnvDefiner. What a Proxy is asked for, it may pass on to that. */
function isNodes(env: object): boolean {
  if (isProxy(env)) return false;
  const probe = 'ATFORK_PROBE';
  try {
    Object.defineProperty(env, probe, { get: () => undefined, configurable: true });
    Reflect.deleteProperty(env, probe);
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === 'ERR_INVALID_OBJECT_DEFINE_PROPERTY';
  }
}
