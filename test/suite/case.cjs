/** What every file of cases begins with: runs the one that the command line names, and looks at what it leaves behind. */
const assert = require('node:assert/strict');

/**
 * Runs `cases[process.argv[2]]` with the arguments that follow, in the process that it may fork, and prints `done`.
 *
 * @param {Record<string, (...args: string[]) => unknown>} cases
 */
async function runCase(cases) {
  const { zombieChildren } = await import('../helpers/proc.mjs');
  const self = process.pid;
  const [name, ...args] = process.argv.slice(2);
  await cases[name](...args);
  if (process.pid !== self) return; // a child that a case forked by itself, and let go on
  assert.deepEqual(zombieChildren(), []);
  console.log('done');
}

module.exports = { runCase };
