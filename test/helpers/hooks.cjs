/** Hooks around fork() that note when they are called, for the fixtures. */
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { fork, registerAtFork } = require('../..');
const { exited, end, start } = require('./forked.cjs');

/** What was called, in this process: a child has its own copy. */
let calls = [];
const registered = [];

const note = (call) => void calls.push(call);

/** Registers hooks that note `name` and what they are; `over` replaces some of them, `undefined` leaves one out. */
function register(name, over = {}) {
  const noting = (what) => () => note(`${name}.${what}`);
  const hooks = {
    before: noting('before'),
    afterInParent: noting('parent'),
    afterInChild: noting('child'),
    ...over,
  };
  const given = Object.fromEntries(Object.entries(hooks).filter(([, hook]) => hook !== undefined));
  const registration = registerAtFork(given);
  registered.push(registration);
  return registration;
}

function unregisterAll() {
  for (const registration of registered.splice(0)) registration.unregister();
}

function fails(error) {
  return () => {
    throw error;
  };
}

/** What has been called since the last look. */
function called(...expected) {
  const before = calls;
  calls = [];
  assert.deepEqual(before, expected);
}

/** fork() throws `expected`, and there is no child. */
function isRefused(expected, options) {
  assert.throws(() => {
    if (fork(options) === 0) (process._rawDebug('there is a child'), process.abort());
  }, expected);
  assert.equal(fs.readFileSync('/proc/thread-self/children', 'utf8'), '');
}

/** A fork whose child finds that `inChild` has been called there, and the parent `inParent`. */
async function forks(inParent, inChild, options) {
  const child = await start(() => called(...inChild), options);
  called(...inParent);
  assert.deepEqual(await end(child), exited(0));
}

/** A child of a child begins with none. */
function forgetCalls() {
  calls = [];
}

module.exports = { called, fails, forgetCalls, forks, isRefused, note, register, unregisterAll };
