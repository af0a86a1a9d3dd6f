/**
 * Node reads certificate files on a thread of its own (22 and later), once, and whoever wants them waits for that. A file's
 * offset belongs to the open file description, which parent and child share: forked in the middle, each would get some
 * of the file. So the reading is brought to its end first.
 */
import { statSync } from 'node:fs';
import type * as tls from 'node:tls';

type Store = 'extra' | 'system';

/** Node takes underscores for dashes; a configuration file may say it too. */
const systemOptions = /--use[-_]system[-_]ca|--experimental[-_](default[-_])?config/;

/** Anything else (a FIFO) may take for ever, and does not come back to where it was read before. */
function isPlainFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** What this process was told to read, besides what is built into Node. */
function configuredStores({ env, execArgv, versions }: NodeJS.Process): Store[] {
  if (!versions.openssl) return []; // a Node without node:tls
  const options = [...execArgv, env.NODE_OPTIONS].join(' ');
  const stores: Store[] = [];
  if (env.NODE_EXTRA_CA_CERTS && isPlainFile(env.NODE_EXTRA_CA_CERTS)) stores.push('extra');
  if (systemOptions.test(options) || env.NODE_USE_SYSTEM_CA === '1') stores.push('system');
  return stores;
}

const unread = configuredStores(process);

/** Blocks until no thread reads certificates, nor will. Tens of milliseconds the first time, for a file of some 300. */
export function finishReadingCertificates(): void {
  for (let store = unread.pop(); store !== undefined; store = unread.pop()) {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- it takes milliseconds to load
    const { getCACertificates } = require('node:tls') as typeof tls & { getCACertificates?: (store: Store) => unknown };
    getCACertificates?.(store);
  }
}
