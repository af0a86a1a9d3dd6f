/**
 * Builds the addon that the published package brings along: prebuilds/<platform>-<arch>/atfork.glibc.node, the name that
 * lib/binding.ts looks for. One file serves every Node line, as the addon uses Node-API only.
 *
 *   node scripts/prebuild.mjs
 *
 * Fails when the result would not load on the oldest system that is promised (check-glibc-floor.mjs).
 */
import { existsSync } from 'node:fs';
import path from 'node:path';

import { localHeaders } from './lib/node-headers.mjs';
import { root, run } from './lib/run.mjs';

const prebuilt = path.join('prebuilds', `${process.platform}-${process.arch}`, 'atfork.glibc.node');
const args = ['--napi', '--strip', '--tag-libc', `--target=${process.versions.node}`];

const succeeded =
  run('prebuildify', args, { env: localHeaders() }) &&
  existsSync(path.join(root, prebuilt)) &&
  run(process.execPath, [path.join('scripts', 'check-glibc-floor.mjs'), prebuilt]);

if (succeeded) console.log(prebuilt);
else process.exitCode = 1;
