/**
 * Where node-gyp finds Node's headers without downloading them. It looks at `npm_config_nodedir`, else it downloads from
 * nodejs.org; most installations have the headers beside the binary all the same (…/bin/node and …/include/node).
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { root, run } from './run.mjs';

/**
 * The environment that points node-gyp at the headers of this machine; empty when they have to be downloaded, or when
 * the caller's own choice stands.
 */
export function localHeaders(execPath = process.execPath, env = process.env) {
  if (env.npm_config_nodedir !== undefined) return {};
  const prefix = path.resolve(path.dirname(execPath), '..');
  return majorOf(prefix) === process.versions.node.split('.')[0] ? { npm_config_nodedir: prefix } : {};
}

/**
 * The last resort, where nodejs.org cannot be reached but a package registry can: the package that carries this very
 * version of Node has its headers too.
 *
 * @returns the environment as above, or null when this failed as well
 */
export function headersFromRegistry() {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = path.join(root, '.cache', 'node-headers');
  const prefix = path.join(folder, 'node_modules', name);
  const spec = `${name}@${process.versions.node}`;
  const install = ['install', '--prefix', folder, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', spec];
  if (majorOf(prefix) === null && !run('npm', install)) return null;
  return majorOf(prefix) === null ? null : { npm_config_nodedir: prefix };
}

/** The major version of the headers in `prefix`/include/node, or null. The addon uses Node-API: the major is enough. */
function majorOf(prefix) {
  const file = path.join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(file)) return null;
  return /^#define NODE_MAJOR_VERSION (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? null;
}
