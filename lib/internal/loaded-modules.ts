import type * as netModule from 'node:net';

const prefix = 'NativeModule ';

/** Of `process.moduleLoadList`, which only grows: names, and how many of its entries have been looked at. */
const loaded = new Set<string>();
let looked = 0;

/** Whether Node has loaded this module of its own ('net', 'internal/crypto/random'); where it does not say, it may have. */
export function hasLoaded(module: string): boolean {
  const { moduleLoadList } = process as unknown as { moduleLoadList?: readonly string[] };
  if (moduleLoadList === undefined) return true;
  for (; looked < moduleLoadList.length; ++looked) {
    const entry = moduleLoadList[looked];
    if (entry?.startsWith(prefix) === true) loaded.add(entry.slice(prefix.length));
  }
  return loaded.has(module);
}

/** node:net; null where nobody has loaded it: a child does not load it only to look. */
export function loadedNet(): typeof netModule | null {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- see above
  return hasLoaded('net') ? (require('node:net') as typeof netModule) : null;
}
