/**
 * Node reads certificate files on a thread of its own (22 and later), once, and whoever wants them waits for that. A file's
 * offset belongs to the open file description, which parent and child share: forked in the middle, each would get some
 * of the file. So the reading is brought to its end first.
 */
import type * as tls from 'node:tls';

type Store = 'extra' | 'system';

/** What this process was told to read, besides what is built into Node. */
function configuredStores({ env, execArgv, versions }: NodeJS.Process): Store[] {
  if (!versions.openssl) return []; // a Node without node:tls
  const options = [...execArgv, ...(env.NODE_OPTIONS ?? '').split(/\s+/)];
  const stores: Store[] = [];
  if (env.NODE_EXTRA_CA_CERTS) stores.push('extra');
  if (options.includes('--use-system-ca') || env.NODE_USE_SYSTEM_CA === '1') stores.push('system');
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
