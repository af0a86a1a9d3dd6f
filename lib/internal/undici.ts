/**
 * fetch() and WebSocket of Node, whose connections undici keeps. Its dispatchers are on globalThis, under names of their own
 * (undici lib/global.js: one for each version of their interface), for Node's copy and for those that a program installs.
 */
import * as diagnosticsChannel from 'node:diagnostics_channel';
import { isProxy } from 'node:util/types';

import { hidden } from './silence';

type DispatcherClass = new (argument: unknown) => object;

const names = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${String(version)}`));

/**
 * Those that everybody uses, if they are plain agents, or a wrapper around one: what else there is belongs to the program, such
 * as an agent with interceptors (`compose`).
 */
function agents(): { name: symbol; agent: object }[] {
  return names.flatMap((name) => {
    const agent = Reflect.get(globalThis, name) as object | undefined;
    return agent?.constructor.name === 'Agent' && !isProxy(agent) ? [{ name, agent }] : [];
  });
}

/** Their clients: each has one connection, with the requests that are under way there and those that wait for it. */
export function dispatcherClients(): Set<unknown> {
  const found = new Set<unknown>();
  const visit = (each: unknown): void => {
    const dispatcher = dereferenced(each);
    if (dispatcher === undefined || found.has(dispatcher)) return;
    found.add(dispatcher);
    const clients = hidden(dispatcher, 'clients') as Map<unknown, unknown> | unknown[] | undefined;
    for (const client of clients?.values() ?? []) visit(client);
  };
  for (const { agent } of agents()) visit(agent);
  return found;
}

/** A WeakRef in 5, `{ count, dispatcher }` since 7. */
function dereferenced(entry: unknown): object | undefined {
  const object = entry instanceof WeakRef ? (entry.deref() as object | undefined) : (entry as object | undefined);
  return (object as { dispatcher?: object } | undefined)?.dispatcher ?? object;
}

/** New ones with the options of the old, which nobody uses any more. */
export function renewDispatchers(): void {
  const fresh = new Map<object, object>();
  for (const { name, agent } of agents()) {
    const options = { ...(hidden(agent, 'options') as object), factory: hidden(agent, 'factory') };
    if (!fresh.has(agent)) fresh.set(agent, new (agent.constructor as DispatcherClass)(options));
    Reflect.set(globalThis, name, fresh.get(agent));
  }
  const [first] = names;
  const wrapper = Reflect.get(globalThis, first ?? '') as object | undefined;
  const [inner] = fresh.values();
  if (first === undefined || inner === undefined || wrapper?.constructor.name !== 'Dispatcher1Wrapper') return;
  Reflect.set(globalThis, first, new (wrapper.constructor as DispatcherClass)(inner));
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

/** Child: their connections are closed under them, which they would call an 'error'. */
export function silenceWebSockets(): void {
  for (const reference of webSockets) {
    const webSocket = reference.deref();
    if (webSocket === undefined) continue;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
    const { dispatchEvent } = webSocket;
    const value = (event: Event): boolean => event.type === 'error' || dispatchEvent.call(webSocket, event);
    Object.defineProperty(webSocket, 'dispatchEvent', { value, configurable: true, writable: true });
  }
}
