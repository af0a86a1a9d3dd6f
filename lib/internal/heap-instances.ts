/** Objects that nobody has a list of: the inspector finds them. */
import type * as inspectorModule from 'node:inspector';

interface RemoteObject {
  objectId: string;
}

/** All objects of class `constructor` on this thread's heap; null without an inspector to ask. Collects garbage. */
export function instancesOf(constructor: { readonly prototype: object }): object[] | null {
  const session = ownSession();
  if (session === null) return null;
  // The debugger's functions meet this thread's objects in a global variable, under a name that nobody else uses.
  const meeting = Symbol.for('atfork.instances');
  const globals = globalThis as unknown as Record<symbol, unknown>;
  globals[meeting] = constructor.prototype;
  try {
    const expression = "globalThis[Symbol.for('atfork.instances')]";
    const { result } = post(session, 'Runtime.evaluate', { expression }) as { result: RemoteObject };
    const query = { prototypeObjectId: result.objectId };
    const { objects } = post(session, 'Runtime.queryObjects', query) as { objects: RemoteObject };
    const functionDeclaration = "function () { globalThis[Symbol.for('atfork.instances')] = this; }";
    post(session, 'Runtime.callFunctionOn', { objectId: objects.objectId, functionDeclaration });
    const found = globals[meeting] as object[];
    // Prototypes of subclasses inherit from it too, but were never constructed.
    return Array.from(found).filter((object) => !Object.hasOwn(object, 'constructor'));
  } finally {
    Reflect.deleteProperty(globals, meeting);
    session.disconnect();
  }
}

/** Whether instancesOf() has anybody to ask. */
export function canFindInstances(): boolean {
  const session = ownSession();
  session?.disconnect();
  return session !== null;
}

function ownSession(): inspectorModule.Session | null {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- absent in builds without it
    const { Session } = require('node:inspector') as typeof inspectorModule;
    const session = new Session();
    session.connect();
    return session;
  } catch {
    // Also where the permission model (`--permission`) forbids it.
    return null;
  }
}

/** The inspector answers in the same turn: the session is this thread's own. */
function post(session: inspectorModule.Session, method: string, parameters: object): unknown {
  let answer: unknown;
  session.post(method, parameters, (error, result) => {
    if (error === null) answer = result;
  });
  if (answer === undefined) throw new Error(`inspector: ${method} failed`);
  return answer;
}
