/**
 * fetch() and WebSocket of Node, and undici as a program installs it. What keeps connections there (lib/dispatcher, undici 5 to 8):
 *
 *   Agent    a Map `clients` of Pools and Clients, by origin
 *   Pool     an Array `clients` of Clients, and a `queue` of requests for which all of them are busy
 *   Client   one connection, and a `queue` of requests: from `running index` on they are sent, from `pending index` on they are not
 *
 * and others around these. The names are descriptions of symbols: every copy of undici has its own.
 */
import * as diagnosticsChannel from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';

import { instancesOf } from './heap-instances';
import { hidden, setHidden } from './silence';

/** Where everybody's dispatcher is: undici lib/global.js, one for each version of its interface. */
const names = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${String(version)}`));

function globalDispatchers(): object[] {
  return names.map((name) => Reflect.get(globalThis, name) as object | undefined).filter((each) => each !== undefined);
}

/** Whether anybody does: undici makes the dispatcher when it is loaded. */
export function usesUndici(): boolean {
  return globalDispatchers().length > 0;
}

/** The Client whose connection this is, or was made for. */
export function clientOf(socket: object): Client | undefined {
  const client = hidden(socket, 'client');
  return isClient(client) ? client : undefined;
}

type Client = EventEmitter;

/** Null where it has been answered. */
type Request = { readonly method?: string } | null;

function isClient(value: unknown): value is Client {
  return value instanceof EventEmitter && hidden(value, 'running index') !== undefined;
}

/**
 * Child, before these sockets are destroyed: requests are the parent's, so they are forgotten, and nobody waits for a connection
 * that was his. What is asked from here on gets a new one.
 */
export function abandonRequests(sockets: readonly EventEmitter[]): void {
  const clients = sockets.map(clientOf).filter((each) => each !== undefined);
  const seen = new Set<object>();
  for (const each of [...globalDispatchers(), ...clients.flatMap(ownersOf), ...clients]) abandon(each, seen);
  // Those who wait for a connection or a tunnel that is being made, which leads nowhere from there.
  const known = [...seen].filter((each) => hidden(each, 'connecting') === true).length;
  const connecting = sockets.filter((socket) => clientOf(socket) === undefined && isBeingConnected(socket)).length;
  if (connecting <= known && !clients.some(makesTunnel)) return;
  for (const each of instancesOf(EventEmitter) ?? []) if (isDispatcher(each)) abandon(each, seen);
}

function isDispatcher(value: unknown): value is EventEmitter {
  return value instanceof EventEmitter && typeof (value as { dispatch?: unknown }).dispatch === 'function';
}

function abandon(entry: unknown, seen: Set<object>): void {
  const dispatcher = dereferenced(entry);
  if (!isDispatcher(dispatcher) || seen.has(dispatcher)) return;
  seen.add(dispatcher);
  const clients = hidden(dispatcher, 'clients') as Map<unknown, unknown> | unknown[] | undefined;
  for (const client of clients?.values() ?? []) abandon(client, seen);
  if (clients instanceof Map) {
    clients.clear();
    (hidden(dispatcher, 'origins') as Set<unknown> | undefined)?.clear();
  } else if (Array.isArray(clients)) {
    // Pools, which a BalancedPool has instead, are its own to keep.
    clients.splice(0, clients.length, ...clients.filter((each) => !isClient(each)));
    const queue = hidden(dispatcher, 'queue') as { isEmpty(): boolean; shift(): unknown } | undefined;
    while (queue?.isEmpty() === false) queue.shift();
    setHidden(dispatcher, 'queued', 0);
    setHidden(dispatcher, 'needDrain', false);
  } else if (isClient(dispatcher)) {
    renewClient(dispatcher);
  }
  // Such as the agents that one for proxies has.
  for (const key of Object.getOwnPropertySymbols(dispatcher)) abandon(Reflect.get(dispatcher, key), seen);
}

/** A WeakRef in 5, `{ count, dispatcher }` in 7. */
function dereferenced(entry: unknown): unknown {
  const object = entry instanceof WeakRef ? (entry.deref() as object | undefined) : entry;
  return (object as { dispatcher?: object } | null | undefined)?.dispatcher ?? object;
}

interface Parser {
  /** 0 is none. */
  setTimeout(delay: number, type: number): void;
}

/**
 * As it was before it had a connection: the program may have made it itself and use it on. On the next tick, since this may be
 * within its parser, which counts on what it is parsing.
 */
function renewClient(client: Client): void {
  const parents = new Set(hidden(client, 'queue') as Request[]);
  const parser = hidden(hidden(client, 'socket') ?? {}, 'parser') as Parser | null | undefined;
  process.nextTick(() => {
    parser?.setTimeout(0, 0);
    setHidden(client, 'socket', null);
    setHidden(client, 'http context', null);
    setHidden(client, 'connecting', false);
    const queue = hidden(client, 'queue') as Request[];
    queue.splice(0, queue.length, ...queue.filter((request) => request !== null && !parents.has(request)));
    for (const count of ['running index', 'pending index', 'need drain', 'resuming']) setHidden(client, count, 0);
    // To set it is to look at the queue.
    Reflect.set(client, 'pipelining', Reflect.get(client, 'pipelining'));
  });
}

/** Only a listener on a Client knows the Pool that it belongs to, which it makes emit the same event; and so on, upwards. */
function ownersOf(dispatcher: EventEmitter): EventEmitter[] {
  const owners: EventEmitter[] = [];
  const { prototype } = EventEmitter;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below
  const { emit } = prototype;
  prototype.emit = function (this: EventEmitter) {
    owners.push(this);
    return true;
  };
  const emits = /^\(origin, targets\) => \{\s+\w+\.emit\(['"]connect['"]/;
  try {
    for (const listener of dispatcher.listeners('connect')) {
      if (emits.test(String(listener))) Reflect.apply(listener, dispatcher, ['', []]);
    }
  } finally {
    prototype.emit = emit;
  }
  return owners.flatMap((owner) => [...ownersOf(owner), owner]);
}

/** By what listens to it: lib/core/connect.js. */
function isBeingConnected(socket: EventEmitter): boolean {
  return socket.listeners('error').some((listener) => /clearConnectTimeout|cancelTimeout/.test(String(listener)));
}

function makesTunnel(client: Client): boolean {
  const queue = hidden(client, 'queue') as Request[];
  return queue.some((request) => request?.method === 'CONNECT');
}

/** Weak: one that is closed may be collected. */
let webSockets: WeakRef<EventTarget>[] = [];

/**
 * Keeps the list of WebSockets from here on. undici 7 tells of each when it is open; those of undici 6, which does not, have no
 * 'error' when they break.
 */
export function watchWebSockets(): void {
  diagnosticsChannel.subscribe('undici:websocket:open', (message) => {
    const { websocket } = message as { websocket?: EventTarget };
    if (websocket === undefined) return;
    webSockets = webSockets.filter((each) => each.deref() !== undefined);
    webSockets.push(new WeakRef(websocket));
  });
}

/** Child: their connections are closed under them, which they would call an 'error'. What had come on them is the parent's. */
export function silenceWebSockets(): void {
  for (const reference of webSockets) {
    const webSocket = reference.deref();
    if (webSocket === undefined) continue;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
    const { dispatchEvent } = webSocket;
    const value = (event: Event): boolean =>
      ['error', 'message'].includes(event.type) || dispatchEvent.call(webSocket, event);
    Object.defineProperty(webSocket, 'dispatchEvent', { value, configurable: true, writable: true });
  }
}
