/**
 * Connections of node:sqlite belong to the process that has opened them. A child that closed one, by itself, by an object that nobody
 * needs any more or by the end of its environment, would roll back what its parent has under way, in the parent's file:
 * sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork()".
 */
import { instancesOf } from './heap-instances';
import { leaveWithoutTeardown } from './leave';
import { hasLoaded } from './loaded-modules';

type Method = (this: object, ...rest: unknown[]) => unknown;

interface Statement {
  iterate(): object;
}
interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  createSession?(): object;
}

/** For good: garbage is closed. V8 has one more of a class, which it makes new ones after. */
const parents = new Set<object>();

/** Whether there may be any, which a child could only find by the inspector. */
export function mayHaveDatabases(): boolean {
  return hasLoaded('sqlite');
}

/** Child: all of them are as if they had been closed, and none is. */
export function disownDatabases(): void {
  if (!mayHaveDatabases()) return;
  const own = oneOfEach();
  const prototypes = own.map((each) => Object.getPrototypeOf(each) as object);
  const isFirst = parents.size === 0;
  for (const prototype of prototypes) for (const each of instancesOf({ prototype }) ?? []) parents.add(each);
  for (const each of own) parents.delete(each);
  if (parents.size === 0 || !isFirst) return;
  leaveWithoutTeardown((code) => {
    (process as unknown as { reallyExit(code: number): void }).reallyExit(code);
  });
  prototypes.forEach(replaceMethods);
}

/** An object of each class that has a connection: not all have a name. Each tag store has a class of its own, and is not found. */
function oneOfEach(): object[] {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded; Node 20 has none
  const { DatabaseSync } = require('node:sqlite') as { DatabaseSync: new (path: string) => Database };
  const database = new DatabaseSync(':memory:');
  const statement = database.prepare('select 1');
  const session = database.createSession?.();
  return [database, statement, statement.iterate(), ...(session === undefined ? [] : [session])];
}

function replaceMethods(prototype: object): void {
  for (const name of Reflect.ownKeys(prototype)) {
    const { value } = Object.getOwnPropertyDescriptor(prototype, name) as { value?: Method };
    if (name === 'constructor' || typeof value !== 'function') continue;
    const closes = name === 'close' || name === Symbol.dispose;
    const ofOwn: Method = function (this: object, ...rest) {
      if (!parents.has(this)) return value.apply(this, rest);
      return closes ? undefined : refuse();
    };
    Object.defineProperty(prototype, name, { value: ofOwn, configurable: true, writable: true });
  }
}

function refuse(): never {
  const error = new Error('database is not open: its connection is that of the process that this one was forked from');
  throw Object.assign(error, { code: 'ERR_INVALID_STATE' });
}
