/**
 * Checks the model of the lock's protocol (test/model/process_lock.pml) with spin: every order in which three threads and two
 * forks can go about it. Then it breaks the protocol in several ways, each of which must be found: else the model says nothing.
 *
 *   npm run check:model
 *
 * Needs:  spin 6 and a C compiler (Debian: spin, gcc); 3 GB of memory, some two minutes.
 * Output: the number of states, and a line for each way in which it was broken.
 * Exit:   0 all is well, 1 not, 100 no spin.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { root } from './lib/run.mjs';

const model = readFileSync(path.join(root, 'test', 'model', 'process_lock.pml'), 'utf8');

/** What is wrong, and the text that makes it so; the first occurrence after `from` is replaced. */
const mutants = [
  {
    what: 'a thread of the parent takes the lock of the child',
    from: 'inline try_acquire',
    text: 'own_generation[id] != generation',
    by: 'false',
  },
  {
    what: 'a waiter of the parent looks at the queue of the child',
    from: 'inline look',
    text: 'own_generation[id] != generation',
    by: 'false',
  },
  { what: 'a release wakes nobody', from: 'inline unlock', text: '(!waiters || awake)', by: 'true' },
  {
    what: 'a woken waiter that sleeps again stays awake to others',
    from: 'inline look',
    text: 'awake = false',
    by: 'skip',
  },
  {
    what: 'a waiter that naps sleeps until it is woken',
    from: 'inline acquire',
    text: 'state[id] != asleep ||',
    by: '(state[id] != asleep && state[id] != napping) ||',
  },
  { what: 'a waiter sleeps, and has not said so', from: 'inline look', text: 'waiters = true;', by: '' },
  {
    what: "whoever gives up takes the others' bit along",
    from: ':: owner != 0 && !stays',
    text: 'queued > 0',
    by: 'false',
  },
  { what: 'a lost lock wakes nobody', from: ':: spoils -> lost', text: 'rouse()', by: 'skip' },
  {
    what: 'the queue of the parent comes along',
    from: 'inline after_fork_child',
    text: /queued = 0;[^]*?waiters = false;/,
    by: '',
  },
  {
    what: 'the ShortLock of the parent comes along',
    from: 'inline after_fork_child',
    text: 'short_holder = 0;',
    by: '',
  },
  {
    what: 'the child is not told of who was inside',
    from: 'inline after_fork_child',
    text: 'orphaned = true',
    by: 'skip',
  },
  {
    what: 'a fork repairs',
    from: 'proctype Forker',
    text: 'unlock(1, false, false); has_it',
    by: 'orphaned = false; unlock(1, false, false); has_it',
  },
  {
    what: 'who ends inside orphans nothing',
    from: 'inline die',
    text: 'unlock(id, false, true)',
    by: 'unlock(id, false, false)',
  },
  {
    what: 'nothing is lost without a repair',
    from: 'inline leave(id)',
    text: 'unlock(id, true, false)',
    by: 'unlock(id, false, false)',
  },
];

const folder = mkdtempSync(path.join(os.tmpdir(), 'atfork-model-'));
try {
  if (spawnSync('spin', ['-V']).error !== undefined) {
    console.error('no spin here (Debian: spin)');
    process.exitCode = 100;
  } else {
    process.exitCode = checkAll() ? 0 : 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}

function checkAll() {
  const whole = verify('whole', model);
  console.log(`${whole.errors === 0 ? 'ok  ' : 'FAIL'} the protocol: ${whole.summary}`);
  if (whole.errors !== 0) console.log(whole.trail);
  return [whole.errors === 0, ...mutants.map(checkMutant)].every(Boolean);
}

function checkMutant({ what, from, text, by }, index) {
  const start = model.indexOf(from);
  const rest = model.slice(start);
  const broken = model.slice(0, start) + rest.replace(text, by);
  if (start < 0 || broken === model) throw new Error(`the model has no ${String(text)} after ${from}`);
  const { errors, summary } = verify(`mutant-${String(index)}`, broken);
  console.log(`${errors > 0 ? 'ok  ' : 'FAIL'} found, if ${what}: ${summary}`);
  return errors > 0;
}

/** Looks at all states, or stops at the first error. */
function verify(name, text) {
  const here = path.join(folder, name);
  mkdirSync(here);
  writeFileSync(path.join(here, 'model.pml'), text);
  const run = (file, ...args) => {
    const { status, stdout, stderr, error } = spawnSync(file, args, {
      cwd: here,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    if (error !== undefined || status === null) throw error ?? new Error(`${file} was killed`);
    return { status, output: `${stdout}${stderr}` };
  };
  const made = run('spin', '-a', 'model.pml');
  if (made.status !== 0 || /error/i.test(made.output)) throw new Error(made.output);
  // `provided` and partial order reduction do not go together.
  const options = ['-O2', '-w', '-DSAFETY', '-DNOREDUCE', '-DCOLLAPSE', '-DMEMLIM=8000'];
  const compiled = run('gcc', ...options, '-o', 'pan', 'pan.c');
  if (compiled.status !== 0) throw new Error(compiled.output);
  // -E: threads that are gone stand where they stood; the model's Watch sees to the others.
  const { output } = run('./pan', '-E', '-m1000000', '-w24');
  const [, errors] = /errors: (\d+)/.exec(output);
  const [, states] = /^\s*(\d+) states, stored/m.exec(output);
  const complete = !output.includes('max search depth too small') && !output.includes('out of memory');
  if (Number(errors) === 0 && !complete) throw new Error(output);
  const trail = Number(errors) > 0 ? run('spin', '-t', '-p', 'model.pml').output : '';
  return { errors: Number(errors), summary: `${states} states, errors: ${errors}`, trail };
}
