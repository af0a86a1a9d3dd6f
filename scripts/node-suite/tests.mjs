/** Which tests a checkout of Node's tests has, and how each wants to be started. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { filesBelow } from '../lib/files.mjs';

/** Why a test is left out of every run, by its name: with atfork it cannot even begin. */
/** By what is done with them: see node-suite.mjs, --with. */
const leftOutOf = JSON.parse(readFileSync(new URL('left-out.json', import.meta.url), 'utf8'));

/** As in Node's own test/testpy: the first such line counts. */
const flagsLine = /\/\/\s+Flags:(.*)/;
const envLine = /\/\/\s+Env:(.*)/;

/** What the permission model has to allow before an addon can be loaded, by atfork's loader. */
const permissionFlags = ['--permission', '--experimental-permission'];
const permitted = ['--allow-addons', '--allow-fs-read=*'];

/**
 * @typedef {object} Test
 * @property {string} name `parallel/test-timers.js`
 * @property {string} file absolute
 * @property {boolean} parallel whether others may run beside it
 * @property {string[]} flags for node, before the file
 * @property {Record<string, string>} env what the test itself asks for
 */

/**
 * The tests of `test/parallel` and `test/sequential`, sorted, without those that are left out.
 *
 * @param {string} checkout the folder that holds `test/`
 * @param {RegExp} only what a name has to match
 * @param {'fork' | 'child-process'} mode
 * @returns {{ tests: Test[], leftOut: { name: string, reason: string }[] }}
 * @throws Error when there are no such folders
 */
export function findTests(checkout, only, mode) {
  const leftOut = leftOutOf[mode];
  const found = ['parallel', 'sequential']
    .flatMap((suite) => namesIn(checkout, suite))
    .filter((name) => only.test(name));
  return {
    tests: found.filter((name) => !(name in leftOut)).map((name) => readTest(checkout, name)),
    leftOut: found.filter((name) => name in leftOut).map((name) => ({ name, reason: leftOut[name] })),
  };
}

function namesIn(checkout, suite) {
  const folder = path.join(checkout, 'test', suite);
  if (!existsSync(folder)) throw new Error(`${folder}: no such folder; is ${checkout} a checkout of Node's tests?`);
  return filesBelow(folder)
    .filter((file) => /^test-.*\.m?js$/.test(path.basename(file)))
    .map((file) => `${suite}/${file}`);
}

/** @returns {Test} */
function readTest(checkout, name) {
  const file = path.join(checkout, 'test', name);
  const source = readFileSync(file, 'utf8');
  const flags = words(flagsLine.exec(source));
  if (flags.some((flag) => permissionFlags.includes(flag))) flags.push(...permitted);
  const env = Object.fromEntries(words(envLine.exec(source)).map((pair) => pair.split('=')));
  return { name, file, parallel: name.startsWith('parallel/'), flags, env };
}

function words(match) {
  return match?.[1].split(/\s+/).filter(Boolean) ?? [];
}
