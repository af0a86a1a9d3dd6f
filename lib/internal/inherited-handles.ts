/**
 * What a child has inherited of its parent's handles and does not keep. First the descriptors are closed, natively, and
 * nothing more: the peers hear nothing, and what was queued is the parent's to send. Only then are the objects destroyed,
 * which reaches nobody any more: each emits 'close' and no 'error'.
 */
import type { ChildProcess } from 'node:child_process';
import type * as dgramModule from 'node:dgram';
import * as fs from 'node:fs';
import type * as httpModule from 'node:http';
import type * as netModule from 'node:net';
import type { Writable } from 'node:stream';

import { errnoName } from '../errors';
import { hasLoaded } from './loaded-modules';
import type { NativeHandles } from './native-handles';
import { type Emitter, hidden, silence } from './silence';
import { dispatcherClients, renewDispatchers } from './undici';
import { forgetUnwritten } from './unwritten';

/** Kinds of handles; which of them a child keeps. */
export interface KeptHandles {
  readonly connections: boolean;
  readonly ipc: boolean;
  readonly watchers: boolean;
  readonly children: boolean;
  readonly datagrams: boolean;
  readonly servers: boolean;
}

/** Child: gives up all but those that are kept. */
export function giveUpHandles(native: NativeHandles, kept: KeptHandles): void {
  const owners = native.withHandlesReferenced(() => [...activeHandles(), ...fileStreams()]);
  const errnum = native.giveUpFds(!kept.connections, !kept.ipc, !kept.datagrams, !kept.servers);
  if (errnum !== 0) throw new Error(`dup3: ${errnoName(errnum)}`);
  const { Socket, Server, DatagramSocket } = loadedClasses();
  const sockets: HttpSocket[] = [];
  const others: object[] = [];
  for (const owner of owners) {
    if (Socket === null || !(owner instanceof Socket)) others.push(owner);
    else if (isStdio(owner)) forgetUnwritten(owner);
    else if (handleName(owner) !== 'TTY') sockets.push(owner);
  }
  if (!kept.connections) destroyConnections(sockets);
  if (!kept.ipc) disconnect(others);
  for (const owner of others) {
    // One that is kept hears of nothing, and must not be waited for.
    if (isChildProcess(owner) && kept.children) owner.unref();
    else if (isChildProcess(owner)) closeChildProcess(owner);
    else if (isFileStream(owner)) forgetUnwritten(owner);
    else if (DatagramSocket !== null && owner instanceof DatagramSocket) {
      if (!kept.datagrams) closeDatagramSocket(owner);
    } else if (Server !== null && owner instanceof Server) {
      if (!kept.servers) closeServer(owner);
    } else if (!kept.watchers && handleName(owner) === 'FSEvent') {
      (owner as fs.FSWatcher).close();
    }
  }
}

function activeHandles(): object[] {
  return (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles();
}

interface Owner {
  _handle?: { fd?: number; close?(): void; constructor: { name: string } } | null;
}

/** The class of the native object that belongs to `owner`. Not for dgram's, where that is a deprecated property. */
function handleName(owner: object): string | undefined {
  return (owner as Owner)._handle?.constructor.name;
}

/** Of modules that the process uses: a child does not load them only to look. */
function loadedClasses(): {
  Socket: typeof netModule.Socket | null;
  Server: typeof netModule.Server | null;
  DatagramSocket: typeof dgramModule.Socket | null;
} {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- see above
  const net = hasLoaded('net') ? (require('node:net') as typeof netModule) : null;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- see above
  const dgram = hasLoaded('dgram') ? (require('node:dgram') as typeof dgramModule) : null;
  return { Socket: net?.Socket ?? null, Server: net?.Server ?? null, DatagramSocket: dgram?.Socket ?? null };
}

/** By its name: there is no use in loading node:child_process for those who have none. */
function isChildProcess(owner: object): owner is ChildProcess {
  return owner.constructor.name === 'ChildProcess';
}

/** What stdout and stderr are when they are files: there is no handle then. To ask `process` for one is to make it. */
function fileStreams(): object[] {
  if (!hasLoaded('internal/fs/sync_write_stream')) return [];
  return [1, 2].filter(isFile).map((fd) => (fd === 1 ? process.stdout : process.stderr));
}

function isFileStream(owner: object): owner is Writable {
  return owner.constructor.name === 'SyncWriteStream';
}

function isStdio(owner: object): boolean {
  const fd = (owner as Owner)._handle?.fd ?? -1;
  return fd >= 0 && fd <= 2;
}

function isFile(fd: number): boolean {
  try {
    return fs.fstatSync(fd).isFile();
  } catch {
    return false; // closed
  }
}

type HttpMessage = Emitter & { res?: HttpMessage; req?: HttpMessage; agent?: httpModule.Agent };
type HttpSocket = netModule.Socket & { _httpMessage?: HttpMessage | null; parser?: { incoming?: HttpMessage } | null };

/** Sockets and pipes, of TLS too, but for stdio and terminals. */
function destroyConnections(sockets: HttpSocket[]): void {
  if (sockets.length === 0) return;
  dropQueuedRequests(sockets);
  const abandoned = dispatcherClients();
  if (abandoned.size > 0) renewDispatchers();
  for (const socket of sockets) {
    for (const emitter of [socket, ...messagesOf(socket)]) silence(emitter, ['error', 'aborted', 'timeout']);
    const session = hidden(socket, 'kBoundSession') ?? hidden(socket, 'session');
    if (session !== undefined) silence(session as Emitter, ['error']);
    // What had been asked there belongs to the parent: it must not fail here, as it would with its connection.
    if (abandoned.has(hidden(socket, 'client'))) socket.removeAllListeners();
    socket.destroy();
  }
}

/** The request and the response that are under way on a connection, of a client or a server. */
function messagesOf({ _httpMessage: message, parser }: HttpSocket): HttpMessage[] {
  return [message, message?.res, message?.req, parser?.incoming].filter((each) => each !== undefined && each !== null);
}

/** Requests that wait for a connection of their agent would be sent from here as well, as soon as one is closed. */
function dropQueuedRequests(sockets: HttpSocket[]): void {
  if (!hasLoaded('_http_agent')) return;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const agents = new Set([(require('node:http') as typeof httpModule).globalAgent]);
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  if (hasLoaded('https')) agents.add((require('node:https') as { globalAgent: httpModule.Agent }).globalAgent);
  for (const { _httpMessage } of sockets) if (_httpMessage?.agent) agents.add(_httpMessage.agent);
  for (const { requests } of agents) {
    for (const [name, queued] of Object.entries(requests as Record<string, httpModule.ClientRequest[]>)) {
      Reflect.deleteProperty(requests, name);
      for (const request of queued) {
        silence(request, ['error', 'abort', 'timeout']);
        request.destroy();
      }
    }
  }
}

/** The channel to this process's parent, and those to its children: closed without a word, 'disconnect' included. */
function disconnect(owners: object[]): void {
  const ends: (Emitter & { connected: boolean; disconnect(): void })[] = [process, ...owners.filter(isChildProcess)];
  for (const each of ends) {
    if (!each.connected) continue;
    const own = Object.getOwnPropertyDescriptor(each, 'emit');
    silence(each, ['disconnect', 'error']);
    each.disconnect();
    // Emitted on the next tick.
    process.nextTick(() => {
      if (own === undefined) Reflect.deleteProperty(each, 'emit');
      else Object.defineProperty(each, 'emit', own);
    });
  }
}

/** Whether it has ended, only its parent hears. */
function closeChildProcess(child: ChildProcess & Owner): void {
  child._handle?.close?.();
  child._handle = null;
}

function closeDatagramSocket(socket: dgramModule.Socket): void {
  silence(socket, ['error']);
  try {
    socket.close();
  } catch {
    // It was being closed.
  }
}

function closeServer(server: netModule.Server): void {
  silence(server, ['error']);
  server.close();
}
