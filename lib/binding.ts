/**
 * The only loader of the native addon. A missing or unusable addon is a value, not an exception: importing this package
 * works on every platform, and what needs the addon throws when it is called.
 *
 * Each area of the native binding describes its own functions in `internal/native-*.ts`.
 */
import * as path from 'node:path';

import bindings = require('bindings');

import { type AtforkCode, ForkError, codes, isAtforkCode } from './errors';
import type { NativeExec } from './internal/native-exec';
import type { NativeFork } from './internal/native-fork';
import type { NativeHandles } from './internal/native-handles';
import type { NativeLock } from './internal/native-lock';
import type { NativePermit } from './internal/native-permit';
import type { NativeProcess } from './internal/native-process';
import type { NativeRandom } from './internal/native-random';
import type { NativeShared } from './internal/native-shared';

/** Everything that native/addon.cc exports. */
export interface NativeBinding
  extends NativeExec, NativeFork, NativeHandles, NativeLock, NativePermit, NativeProcess, NativeRandom, NativeShared {}

/** Why there is no addon in this process. */
export interface Unavailable {
  /** The reason, fit for an error message. */
  readonly unavailable: string;
  readonly code: AtforkCode;
  readonly cause?: unknown;
}

const packageRoot = path.join(__dirname, '..');

/** `<platform>-<arch>`, as prebuildify names its folders. */
const target = `${process.platform}-${process.arch}`;

/** Where the addon may lie: a build from source wins over what the package was published with. */
const candidates: readonly (readonly string[])[] = [
  ['module_root', 'build', 'Release', 'atfork.node'],
  ['module_root', 'prebuilds', target, 'atfork.glibc.node'],
];

let loaded: NativeBinding | Unavailable | undefined;

/** The addon, or the reason why it cannot be used here. Never throws; the answer stays the same for this thread. */
export function loadBinding(): NativeBinding | Unavailable {
  loaded ??= locateBinding(packageRoot);
  return loaded;
}

/**
 * The addon, for functions that cannot do without it.
 *
 * @throws ForkError ERR_ATFORK_UNSUPPORTED (or the code with which the addon itself refused to load), naming the reason.
 */
export function nativeBinding(): NativeBinding {
  const binding = loadBinding();
  if (!isUnavailable(binding)) return binding;
  throw new ForkError(`${binding.code}: ${codes[binding.code]}: ${binding.unavailable}`, {
    code: binding.code,
    cause: binding.cause,
  });
}

export function isUnavailable(binding: NativeBinding | Unavailable): binding is Unavailable {
  return 'unavailable' in binding;
}

/** @internal The search itself, with the package's folder as an argument. */
export function locateBinding(root: string): NativeBinding | Unavailable {
  if (process.platform !== 'linux') {
    return { unavailable: `atfork needs Linux, this is ${process.platform}`, code: 'ERR_ATFORK_UNSUPPORTED' };
  }
  try {
    return bindings({ bindings: 'atfork.node', module_root: root, try: candidates }) as NativeBinding;
  } catch (cause) {
    return explain(cause, root);
  }
}

function explain(cause: unknown, root: string): Unavailable {
  const { code, message, tries } = cause as { code?: string; message: string; tries?: string[] };
  if (tries !== undefined) {
    const where = tries.map((file) => path.relative(root, file)).join(' nor ');
    const unavailable = `no native addon for ${target}: neither ${where}; build it with \`npx node-gyp rebuild\` in ${root}`;
    return { unavailable, code: 'ERR_ATFORK_UNSUPPORTED', cause };
  }
  // The addon may refuse with a code of its own, e.g. beside an incompatible copy of itself.
  const own = code !== undefined && isAtforkCode(code) ? code : 'ERR_ATFORK_UNSUPPORTED';
  return { unavailable: `the native addon did not load: ${message}`, code: own, cause };
}
