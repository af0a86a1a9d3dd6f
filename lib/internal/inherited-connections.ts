/**
 * The sockets and pipes that a child has inherited, their descriptors being closed already: the objects are destroyed, and so
 * is what is built upon them (TLS, requests and responses, sessions). Nothing of that fails here: what is under way is the
 * parent's.
 */
import type { EventEmitter } from 'node:events';
import type * as httpModule from 'node:http';
import type * as netModule from 'node:net';
import type { Duplex } from 'node:stream';
import type * as tlsModule from 'node:tls';

import { instancesOf } from './heap-instances';
import { hasLoaded } from './loaded-modules';
import { type Emitter, hidden, mute, muteButClose, silence } from './silence';
import { throwLater } from './throw-later';
import { forgetWrites } from './unwritten';
import { abandonRequests, clientOf, silenceWebSockets, usesUndici } from './undici';

interface Destroyable {
  destroy(): unknown;
}
type HttpMessage = Emitter & { res?: HttpMessage; req?: HttpMessage; agent?: httpModule.Agent };
export type HttpSocket = netModule.Socket & {
  _httpMessage?: HttpMessage | null;
  parser?: { incoming?: HttpMessage; onIncoming?: unknown } | null;
};

/** Events that tell of a failure: none is the child's to hear of. */
const failures = ['error', 'abort', 'aborted', 'timeout'];

/** `inherited`: those that libuv knows; of TLS too, but not of TLS that lies over another socket. */
export function destroyConnections(inherited: HttpSocket[], Socket: typeof netModule.Socket | null): void {
  if (inherited.length === 0) return;
  const sockets = withTlsSockets(inherited);
  const fetches = usesUndici();
  if (fetches) abandonRequests(sockets);
  silenceWebSockets();
  // Only who has somebody else on it fails more than itself.
  const isShared = fetches || hasLoaded('http2');
  if (hasLoaded('_http_client')) dropRequests(sockets);
  for (const socket of sockets) {
    if (isShared) dropUsers(socket);
    // TLS says more when it is closed early; other classes are a program's. One of node:net is silent itself.
    if (socket.constructor !== Socket) silence(socket, failures);
    leavePending(socket);
    forgetWrites(socket as object);
    destroy(socket);
  }
}

/** One that a program has given a `destroy` of its own, which fails, must not keep the others. */
function destroy(connection: Destroyable): void {
  try {
    connection.destroy();
  } catch (error) {
    throwLater(error);
  }
}

/**
 * Those, and what lies over them: a server's connections, those of `tls.connect({ socket })`, and TLS inside TLS; the upper first.
 * Only a listener on the lower one knows the upper one, as `this` (lib/internal/tls/wrap.js, TLSSocket.prototype._wrapHandle).
 */
function withTlsSockets(inherited: HttpSocket[]): HttpSocket[] {
  if (!hasLoaded('tls')) return inherited;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const { TLSSocket } = require('node:tls') as typeof tlsModule;
  const prototype = TLSSocket.prototype as unknown as { _emitTLSError: () => void };
  const all = [...inherited];
  const { _emitTLSError } = prototype;
  prototype._emitTLSError = function (this: HttpSocket) {
    all.push(this);
  };
  try {
    for (const socket of all) {
      for (const listener of socket.listeners('error')) {
        if (String(listener) === '(err) => this._emitTLSError(err)') (listener as () => void)();
      }
    }
  } finally {
    prototype._emitTLSError = _emitTLSError;
  }
  for (const socket of all.slice(inherited.length)) forgetHandshake(socket);
  return all.reverse();
}

/** A server says 'tlsClientError' of one that is closed before it was secure. */
function forgetHandshake(socket: HttpSocket): void {
  for (const listener of socket.listeners('close')) {
    if (listener.name === 'onSocketClose') socket.removeListener('close', listener as () => void);
  }
}

/**
 * What waits for the end of a stream by node:stream (`finished`, `pipeline`, `for await`) takes 'close' before it for an error:
 * a rejection, of which nobody in the child would know. It waits for ever.
 */
function leavePending(stream: EventEmitter): void {
  for (const listener of stream.listeners('close')) {
    if (!['onclose', ''].includes(listener.name)) continue;
    // The last is the package end-of-stream's, and so pump's.
    if (!/ERR_STREAM_PREMATURE_CLOSE|getEosOnCloseError|onclosenexttick/.test(String(listener))) continue;
    stream.removeListener('close', listener as () => void);
  }
}

/** HTTP/2 sessions and undici's clients on this connection. */
function dropUsers(socket: HttpSocket): void {
  const session = sessionOf(socket);
  if (session) dropSession(session);
  // What had been asked there belongs to the parent: it must not fail here, as it would with its connection.
  if (clientOf(socket) !== undefined) socket.removeAllListeners();
}

/** Its key is a symbol that Node 20 to 26 forget to export to where it is used: the session is under `undefined`. */
function sessionOf(socket: HttpSocket): (Emitter & Destroyable) | null | undefined {
  return (hidden(socket, 'kBoundSession') ?? Reflect.get(socket, 'undefined')) as
    (Emitter & Destroyable) | null | undefined;
}

/** What a server's stream answers by. */
const answers = ['respond', 'respondWithFD', 'respondWithFile', 'additionalHeaders', 'pushStream'];

/** A session of HTTP/2 with its streams, and the requests and responses that a server sees in them (lib/internal/http2). */
function dropSession(session: Emitter & Destroyable): void {
  silence(session, [...failures, 'stream', 'goaway', 'ping', 'frameError', 'localSettings', 'remoteSettings']);
  const state = hidden(session, 'state') as
    { streams?: Map<unknown, Duplex>; pendingStreams?: Set<Duplex> } | undefined;
  for (const stream of [...(state?.streams?.values() ?? []), ...(state?.pendingStreams ?? [])]) {
    // No 'end' of a body of which half is there.
    silence(stream, [...failures, 'data', 'readable', 'end', 'headers', 'response', 'trailers', 'finish']);
    leavePending(stream);
    forgetWrites(stream as object);
    // The parent's handlers may go on here, and would be told that it is destroyed.
    for (const method of answers)
      if (method in stream) Object.defineProperty(stream, method, { value: () => undefined });
    for (const key of ['request', 'response']) {
      const message = hidden(stream, key) as EventEmitter | null | undefined;
      if (!message) continue;
      closeAnswer(message);
      // A request ends its body when it is closed: whoever reads it would take the half for all.
      for (const method of ['push', '_read'])
        if (method in message) Object.defineProperty(message, method, { value: () => false });
    }
  }
  // Not with its socket, a tick later: who asks it for something meanwhile has to be told that it is no use.
  destroy(session);
}

/** A server's request or response: what is open for it is closed on its 'close'. A body of which half is there does not end. */
function closeAnswer(message: EventEmitter): void {
  // What waits for it may have come in the child only.
  muteButClose(message, () => {
    leavePending(message);
  });
}

/** Requests and responses of node:http that are under way, and those that wait for a connection of their agent. */
function dropRequests(sockets: HttpSocket[]): void {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const { Agent, globalAgent } = require('node:http') as typeof httpModule;
  const agents = new Set([globalAgent]);
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  if (hasLoaded('https')) agents.add((require('node:https') as { globalAgent: httpModule.Agent }).globalAgent);
  addAgentsOf(sockets, agents);
  agents.forEach((agent) => {
    dropQueuedRequests(agent);
  });
  sockets.flatMap(messagesOf).forEach(dropMessage);
  pipelinedOn(sockets).forEach(dropMessage);
  for (const { parser } of sockets) if (parser) parser.onIncoming = ignoreMessage;

  // One that was made in the very turn of the fork gets its connection on the next tick, before that says that it is closed.
  const own = new WeakSet<httpModule.ClientRequest>();
  const { prototype } = Agent as unknown as { prototype: AgentMethods };
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { addRequest } = prototype;
  const noteRequest: AgentMethods['addRequest'] = function (this: httpModule.Agent, request, ...rest) {
    own.add(request);
    addRequest.call(this, request, ...rest);
  };
  prototype.addRequest = noteRequest;
  process.nextTick(() => {
    if (prototype.addRequest === noteRequest) prototype.addRequest = addRequest;
    const seen = new Set(agents);
    addAgentsOf(sockets, agents);
    for (const agent of agents) if (!seen.has(agent)) dropQueuedRequests(agent, own);
    sockets.flatMap(messagesOf).forEach(dropMessage);
  });
}

/** A client's says nothing at all: libraries take 'close' without an answer for a failure, and ask again. */
function dropMessage(message: HttpMessage): void {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const { IncomingMessage, ServerResponse } = require('node:http') as typeof httpModule;
  const isRequest = message instanceof IncomingMessage && typeof message.method === 'string';
  if (isRequest || message instanceof ServerResponse) closeAnswer(message);
  else mute(message);
}

/** What comes after it in what has been read already: the parser goes through it to its end, within fork(). */
function ignoreMessage(): number {
  return 0;
}

interface AgentMethods {
  addRequest(this: httpModule.Agent, request: httpModule.ClientRequest, ...rest: unknown[]): void;
}

/** The request and the response that are under way on a connection, of a client or a server. */
function messagesOf({ _httpMessage: message, parser }: HttpSocket): HttpMessage[] {
  return [message, message?.res, message?.req, parser?.incoming].filter((each) => each !== undefined && each !== null);
}

/** Requests on connections whose client does not await the answers: Node keeps a list of them that cannot be reached. */
function pipelinedOn(sockets: HttpSocket[]): HttpMessage[] {
  const busy = sockets.filter(({ _httpMessage: answer, parser }) => {
    const latest = parser?.incoming ?? undefined;
    return answer?.req !== undefined && latest !== undefined && latest !== answer.req;
  });
  if (busy.length === 0) return [];
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const { IncomingMessage } = require('node:http') as typeof httpModule;
  const all = (instancesOf(IncomingMessage) ?? []) as (HttpMessage & { socket: HttpSocket })[];
  return all.filter(({ socket }) => busy.includes(socket));
}

function addAgentsOf(sockets: HttpSocket[], agents: Set<httpModule.Agent>): void {
  for (const { _httpMessage } of sockets) if (_httpMessage?.agent) agents.add(_httpMessage.agent);
}

/** They would be sent from here as well, as soon as a connection is closed. `kept` are the child's own. */
function dropQueuedRequests({ requests }: httpModule.Agent, kept = new WeakSet<httpModule.ClientRequest>()): void {
  for (const [name, queued] of Object.entries(requests as Record<string, httpModule.ClientRequest[]>)) {
    const own = queued.filter((request) => kept.has(request));
    if (own.length === 0) Reflect.deleteProperty(requests, name);
    else Reflect.set(requests, name, own);
    for (const request of queued.filter((each) => !kept.has(each))) {
      mute(request);
      request.destroy();
    }
  }
}
