/**
 * Loaded before a fixture by `npm run test:late`: what the fixtures wait for comes late, so that an event is lost on who
 * begins to listen only after another wait. Such a fixture passes as long as the machine is slow enough at the right
 * place; here it fails each time.
 */
const Module = require('node:module');
const path = require('node:path');

/** Milliseconds. */
const delay = 100;

const tests = path.join(__dirname, '..') + path.sep;
const load = Module._load;

const later =
  (wait) =>
  async (...args) => {
    const value = await wait(...args);
    await new Promise((resolve) => setTimeout(resolve, delay));
    return value;
  };

/** Of which module which functions come late. */
const late = {
  'node:events': ['once'],
  'node:stream/consumers': ['buffer', 'json', 'text'],
  '../helpers/forked.cjs': ['succeedsInChild'],
  '../helpers/programs.cjs': ['outputOf'],
};

Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  const names = late[request];
  if (names === undefined || !parent?.filename?.startsWith(tests)) return loaded;
  const ours = Object.fromEntries(names.map((name) => [name, later(loaded[name])]));
  return new Proxy(loaded, { get: (target, name) => ours[name] ?? target[name] });
};
