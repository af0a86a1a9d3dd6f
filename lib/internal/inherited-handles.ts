/**
 * What a child has inherited of its parent's handles and does not keep. First the descriptors are closed, natively, and
 * nothing more: the peers hear nothing, and what was queued is the parent's to send. Only then are the objects destroyed,
 * which reaches nobody any more: each emits 'close' and no 'error'.
 */
import type { ChildProcess } from 'node:child_process';
import type * as dgramModule from 'node:dgram';
import { EventEmitter } from 'node:events';
import type * as fs from 'node:fs';
import type * as netModule from 'node:net';

import { errnoName } from '../errors';
import { type Owner, activeHandles, handleName, isStdio } from './active-handles';
import { instancesOf } from './heap-instances';
import { leaveCluster } from './inherited-cluster';
import { type HttpSocket, destroyConnections } from './inherited-connections';
import { hasLoaded, loadedNet } from './loaded-modules';
import { type NativeHandles, inheritedHandles } from './native-handles';
import { type Emitter, hidden, silence, silenceForNow } from './silence';
import { forgetUnwritten, forgetWrites } from './unwritten';

/** Kinds of handles; which of them a child keeps. */
export interface KeptHandles {
  readonly connections: boolean;
  readonly ipc: boolean;
  readonly watchers: boolean;
  readonly children: boolean;
  readonly datagrams: boolean;
  readonly servers: boolean;
}

/** Something to be looked at in a rehearsal: a process that has nothing to give up yet may have when it forks again. */
const standIn: object = { _handle: { fd: -1 } };

/** Child: gives up all but those that are kept. A rehearsal, in the parent, must keep all: it changes nothing. */
export function giveUpHandles(native: NativeHandles, kept: KeptHandles, isRehearsal: boolean): void {
  const found = native.giveUpFds(!kept.connections, !kept.ipc, !kept.datagrams, !kept.servers, !isRehearsal);
  if (found < 0) throw new Error(`dup3: ${errnoName(-found)}`);
  if (isRehearsal) giveUpObjects([standIn], kept);
  else if ((found & inheritedHandles) !== 0) giveUpObjects(activeHandles(native), kept);
  forgetUnwritten(native, found & ~inheritedHandles, isRehearsal);
}

function giveUpObjects(owners: object[], kept: KeptHandles): void {
  const { Socket, Server, DatagramSocket } = loadedClasses();
  let watches = false;
  const sockets: HttpSocket[] = [];
  const rest: object[] = [];
  for (const owner of owners) {
    if (Socket === null || !(owner instanceof Socket)) rest.push(owner);
    else if (!isStdio(owner) && handleName(owner) !== 'TTY') sockets.push(owner);
  }
  // To end one that the parent is about to end would end it for both: shutdown(2) is of what they share.
  const given = kept.connections ? sockets.filter(isEnding) : sockets;
  destroyConnections(given, Socket);
  if (kept.connections) for (const socket of sockets) if (!isEnding(socket)) forgetWrites(socket as object);
  if (!kept.ipc) {
    leaveCluster();
    disconnect(rest);
  }
  for (const owner of rest) {
    // One that is kept hears of nothing, and must not be waited for.
    if (isChildProcess(owner) && kept.children) owner.unref();
    else if (isChildProcess(owner)) closeChildProcess(owner);
    else if (DatagramSocket !== null && owner instanceof DatagramSocket) {
      if (!kept.datagrams) closeDatagramSocket(owner);
    } else if (Server !== null && owner instanceof Server) {
      if (!kept.servers) closeServer(owner);
    } else if (!kept.watchers && isWatcher(owner)) {
      watches = true;
      owner.close();
    }
  }
  if (watches && hasLoaded('internal/fs/recursive_watch')) closeRecursiveWatchers();
}

function isEnding({ writableEnded, writableFinished }: HttpSocket): boolean {
  return writableEnded && !writableFinished;
}

/** Of modules that the process uses: a child does not load them only to look. */
function loadedClasses(): {
  Socket: typeof netModule.Socket | null;
  Server: typeof netModule.Server | null;
  DatagramSocket: typeof dgramModule.Socket | null;
} {
  const net = loadedNet();
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- see above
  const dgram = hasLoaded('dgram') ? (require('node:dgram') as typeof dgramModule) : null;
  return { Socket: net?.Socket ?? null, Server: net?.Server ?? null, DatagramSocket: dgram?.Socket ?? null };
}

/** An FSWatcher, or the handle itself, which fs.promises.watch has without one. */
function isWatcher(owner: object): owner is fs.FSWatcher {
  return handleName(owner) === 'FSEvent' || owner.constructor.name === 'FSEvent';
}

/** By its name: there is no use in loading node:child_process for those who have none. */
function isChildProcess(owner: object): owner is ChildProcess {
  return owner.constructor.name === 'ChildProcess';
}

type Channel = Emitter & { connected: boolean; disconnect(): void; _handleQueue?: unknown };

/** What a channel says: its end, and messages that have been read and not been delivered yet. They are the parent's. */
const channelEvents = ['disconnect', 'error', 'message', 'internalMessage'];

/** The channel to this process's parent, and those to its children: closed without a word. */
function disconnect(owners: object[]): void {
  const ends = [
    process as unknown as Channel,
    ...owners.filter(isChildProcess).map((each) => each as unknown as Channel),
  ];
  for (const each of ends) {
    if (!each.connected) continue;
    // What it would wait for: the answer to a handle that was sent, and the rest of a message.
    each._handleQueue = null;
    const channel = hidden(each, 'kChannelHandle') as { buffering?: boolean } | undefined;
    if (channel !== undefined) channel.buffering = false;
    each.disconnect();
    // Or Node would report each module that is loaded from now on, and fail: lib/internal/modules/cjs/loader.js.
    if (process.env.WATCH_REPORT_DEPENDENCIES !== undefined) Reflect.set(process, 'send', undefined);
    // Now, since it says so on the next tick.
    silenceForNow(each, channelEvents);
  }
}

/** Whether it has ended, only its parent hears. */
function closeChildProcess(child: ChildProcess & Owner): void {
  child._handle?.close?.();
  child._handle = null;
}

/**
 * The watcher of a folder and all below it consists of others, which are closed already; it has no handle, and they do not know
 * it. It is told by what fs.watch calls, lib/internal/fs/recursive_watch.js.
 */
function closeRecursiveWatchers(): void {
  for (const emitter of instancesOf(EventEmitter) ?? []) {
    if (hidden(Object.getPrototypeOf(emitter) as object, 'kFSWatchStart') === undefined) continue;
    // Not within fork(), since it emits 'close' at once.
    process.nextTick(() => {
      (emitter as fs.FSWatcher).close();
    });
  }
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
