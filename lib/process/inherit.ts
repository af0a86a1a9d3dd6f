import type { KeptHandles } from '../internal/inherited-handles';
import { invalidValue, validateBoolean, validateObject } from '../internal/validate';

/** What a child keeps of what it has inherited; the rest is closed there, which the parent and the peers do not notice. */
export interface InheritOptions {
  /** Sockets and pipes of net, tls, http, http2, fetch and WebSocket, and the pipes to child processes. Default false. */
  connections?: boolean;
  /** The IPC channel to this process's parent (`process.send`), and those to its children. Default false. */
  ipc?: boolean;
  /** Those of fs.watch; fs.watchFile has a timer. Default false. */
  watchers?: boolean;
  /** ChildProcess objects, which hear of nothing in a child. Default false. */
  children?: boolean;
  /** dgram sockets. Default false. */
  datagrams?: boolean;
  /** Listening sockets: connections then come to whoever accepts first. Default true. */
  servers?: boolean;
  /** Timers and immediates, those of Node's own modules too. Default true. */
  timers?: boolean;
  /** Listeners of 'exit', as with atexit(3). Default true. */
  exitListeners?: boolean;
}

export interface Inherited extends KeptHandles {
  readonly timers: boolean;
  readonly exitListeners: boolean;
}

const defaults: Inherited = {
  connections: false,
  ipc: false,
  watchers: false,
  children: false,
  datagrams: false,
  servers: true,
  timers: true,
  exitListeners: true,
};

/** A child that keeps everything. */
export const all: Inherited = {
  connections: true,
  ipc: true,
  watchers: true,
  children: true,
  datagrams: true,
  servers: true,
  timers: true,
  exitListeners: true,
};

/** @throws TypeError */
export function inheritedBy(options: InheritOptions | undefined): Inherited {
  if (options === undefined) return defaults;
  validateObject(options, 'options.inherit');
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [kind, value] of given) {
    const name = `options.inherit.${kind}`;
    // One that is misspelled would be closed, or shared, without a word.
    if (!Object.hasOwn(defaults, kind)) throw invalidValue(name, 'must be one of the kinds', kind);
    validateBoolean(value, name);
  }
  return { ...defaults, ...Object.fromEntries(given) };
}
