/**
 * One minimal Debian per glibc, and the Node lines, in a cache outside the repository.
 *
 * Calls:  apt-get(8), debootstrap(8), npm(1). Mirror and proxy are those that this machine's apt is set up to use.
 * Cache:  what exists is complete, and is never refreshed: delete it for newer ones.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { outputOf } from '../lib/run.mjs';
import { runConfined } from './confined.mjs';

/** What Node's binaries link to beyond libc6 (libatomic1: Node 26), and ps for tests that look at processes. */
const packages = ['ca-certificates', 'libatomic1', 'libstdc++6', 'procps'];
const debootstrapTimeout = 20 * 60_000;

/**
 * Makes `directory` by `fill(partial)` and a rename: an interrupted or a concurrent run never leaves half of one.
 *
 * @param {string} directory
 * @param {(partial: string) => Promise<void> | void} fill
 */
async function makeOnce(directory, fill) {
  if (existsSync(directory)) return;
  const parent = path.dirname(directory);
  mkdirSync(parent, { recursive: true });
  const prefix = `${path.basename(directory)}.partial-`;
  for (const name of readdirSync(parent).filter((entry) => entry.startsWith(prefix))) {
    const maker = name.slice(prefix.length);
    const gone = maker === String(process.pid) || !existsSync(`/proc/${maker}`);
    if (gone) rmSync(path.join(parent, name), { recursive: true, force: true });
  }
  const partial = path.join(parent, `${prefix}${process.pid}`);
  mkdirSync(partial);
  try {
    await fill(partial);
    renameSync(partial, directory);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(directory)) throw error; // another run was faster: its result is as good
  }
}

/** The first http(s) repository of Debian proper (not security, not a third party's) that apt is configured with. */
function aptMirror() {
  const format = '$(REPO_URI) $(ORIGIN) $(LABEL)';
  for (const line of outputOf('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']).split('\n')) {
    const [uri, origin, label] = line.split(' ');
    if (origin === 'Debian' && label === 'Debian' && /^https?:/.test(uri)) return uri;
  }
  return undefined;
}

/** debootstrap downloads with wget, which reads the environment and not apt's configuration. */
function aptProxy() {
  const proxy = outputOf('apt-config', ['dump', '--format', '%v%n', 'Acquire::http::Proxy']).trim();
  return proxy && proxy !== 'DIRECT' ? { http_proxy: proxy, https_proxy: proxy } : {};
}

const lastLine = (file) => readFileSync(file, 'utf8').trimEnd().split('\n').at(-1);

let debootstrap;

/** Once per process, and only when something must be built: debootstrap, and what it needs to be told. */
function prepareDebootstrap() {
  debootstrap ??= (() => {
    const installed =
      existsSync('/usr/sbin/debootstrap') && existsSync('/usr/share/keyrings/debian-archive-keyring.gpg');
    if (!installed || !aptMirror()) outputOf('apt-get', ['update', '-qq']); // images often come without apt's lists
    const install = ['-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '-qq', '--no-install-recommends'];
    if (!installed) outputOf('apt-get', [...install, 'debootstrap', 'debian-archive-keyring']);
    const mirror = aptMirror();
    if (!mirror) throw new Error('apt on this machine knows no http(s) mirror of Debian (apt-get indextargets)');
    return { mirror, env: { ...aptProxy(), ...process.env } };
  })();
  return debootstrap;
}

/**
 * The root directory of a minimal `release` (a suite or codename of Debian), built if the cache has none.
 *
 * @param {string} cache
 * @param {string} release
 * @returns {Promise<string>}
 * @throws when debootstrap fails; the message has its last line and names its log
 */
export async function chrootOf(cache, release) {
  const root = path.join(cache, release);
  await makeOnce(root, async (partial) => {
    const { mirror, env } = prepareDebootstrap();
    const logFile = path.join(cache, 'logs', `debootstrap-${release}.log`);
    const options = ['--variant=minbase', '--force-check-gpg', `--include=${packages.join(',')}`];
    const command = ['debootstrap', ...options, release, partial, mirror];
    const { ok, outcome } = await runConfined(command, { logFile, timeout: debootstrapTimeout, env });
    if (!ok) throw new Error(`debootstrap ${release}: ${outcome}, ${lastLine(logFile)} (${logFile})`);
    writeFileSync(path.join(partial, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n'); // minbase has none
    for (const name of ['atfork', 'node']) mkdirSync(path.join(partial, 'mnt', name));
  });
  return root;
}

/**
 * Puts the newest Node of `line` (20, 22, ...) into `nodes`, if there is none of that line.
 *
 * @param {string} nodes
 * @param {string} line
 * @returns {Promise<string>} the binary's path, relative to `nodes`
 */
export async function nodeOf(nodes, line) {
  const name = `node-linux-${process.arch}`;
  await makeOnce(path.join(nodes, line), (partial) => {
    const options = ['--prefix', partial, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
    outputOf('npm', ['install', ...options, `${name}@${line}`]);
  });
  return path.join(line, 'node_modules', name, 'bin/node');
}
