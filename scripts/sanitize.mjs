/**
 * Builds the native tests with clang's sanitizers, without Node, and runs them under each: AddressSanitizer with leaks,
 * UndefinedBehaviorSanitizer, ThreadSanitizer. Any report fails its test.
 *
 *   npm run sanitize [-- address|undefined|thread ...]        default: all three
 *
 * Needs:  clang++ 14 or later with its runtimes (Debian: clang).
 * Output: the tests that failed, and a line for each sanitizer. Everything is kept in .cache/sanitize/NAME.txt.
 * Exit:   0 all passed, 1 not, 100 usage, or no clang++.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { root } from './lib/run.mjs';

const folder = path.join(root, '.cache', 'sanitize');

/** They would handle these signals otherwise, and programs that are executed find handlers where they had set none. */
const noHandlers = 'handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0';

const interceptors = "pthread_create(3) is the sanitizer's, and so is the routine that a thread starts with";
const ownThread = 'the sanitizer has a thread of its own';
const ownMalloc = "malloc(3) is the sanitizer's, and it does not hold its locks over a fork";
const ownOnce = "pthread_once(3) is the sanitizer's, which knows nothing of forks";
const noVfork = 'the sanitizer makes vfork(2) a fork(2)';
const ownClone = "clone(2) is the sanitizer's, which takes it for fork(2) whatever its flags";
const simulated = 'the child is simulated in the process of its parent, with a thread that a child would not have';

/** By sanitizer, the tests that it has to do without, each for a reason. */
const sanitizers = {
  address: {
    flags: ['-fsanitize=address'],
    env: { ASAN_OPTIONS: `detect_leaks=1:exitcode=99:${noHandlers}` },
    without: {
      census_finds_descriptor_and_start_routine: interceptors,
      census_lists_what_each_thread_is: interceptors,
      malloc_works_while_others_allocate: ownMalloc,
      stdio_is_mapped_in_all_27_ways:
        "the sanitizer complains of the child's stack, where the test looks for its output",
    },
  },
  undefined: {
    flags: ['-fsanitize=undefined', '-fno-sanitize-recover=all'],
    env: { UBSAN_OPTIONS: `print_stacktrace=1:${noHandlers}` },
    without: {},
  },
  thread: {
    flags: ['-fsanitize=thread', '-include', 'test/native/tsan_clocklock.h'],
    env: { TSAN_OPTIONS: `die_after_fork=0:exitcode=99:halt_on_error=1:report_thread_leaks=0:${noHandlers}` },
    without: {
      api_mutex_is_as_deep_on_both_sides_of_a_fork: 'it unlocks what it does not hold, to see EPERM',
      census_finds_every_thread: ownThread,
      census_finds_descriptor_and_start_routine: interceptors,
      census_tells_a_thread_that_is_ending: ownThread,
      census_tells_threads_of_the_kernel: ownThread,
      census_lists_what_each_thread_is: interceptors,
      errorcheck_mutex_of_the_forking_thread: ownThread,
      everybody_sleeps_who_waits_for_a_lock: ownThread,
      forks_with_handlers_are_not_taken_for_bypassed: noVfork,
      malloc_works_while_others_allocate: ownMalloc,
      once_of_a_lost_thread_is_run_again: ownOnce,
      recursive_mutex_of_the_forking_thread: ownThread,
      thread_specific_data_of_lost_threads_is_leaked: 'a child whose only thread is not its main one, and ends',
      vfork_runs_no_handlers: noVfork,
      waiter_of_another_generation_is_cancelled: simulated,
      waiter_of_another_generation_takes_nobodys_turn: simulated,
      ...Object.fromEntries(testsOfForkExec().map((name) => [name, ownClone])),
    },
  },
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in sanitizers));
if (unknown.length > 0)
  usage(`no such sanitizer: ${unknown.join(', ')}; there are ${Object.keys(sanitizers).join(', ')}`);
if (spawnSync('clang++', ['--version']).status !== 0) usage('no clang++ here (Debian: clang)');

mkdirSync(folder, { recursive: true });
const names = wanted.length > 0 ? wanted : Object.keys(sanitizers);
const results = names.map((name) => test(name, sanitizers[name]));
process.exitCode = results.every(Boolean) ? 0 : 1;

function testsOfForkExec() {
  const here = path.join(root, 'test', 'native');
  const files = readdirSync(here).filter((name) => /^(fork_exec\w*|program_output)_test\.cc$/.test(name));
  const text = files.map((name) => readFileSync(path.join(here, name), 'utf8')).join('\n');
  return [...text.matchAll(/^TEST\((\w+)\)/gm)].map(([, name]) => name);
}

function usage(message) {
  console.error(message);
  process.exit(100);
}

function test(name, { flags, env, without }) {
  const program = build(name, flags);
  if (program === null) return false;
  const all = spawnSync(program, ['--list'], { encoding: 'utf8' }).stdout.trim().split('\n');
  const left = all.filter((each) => each in without);
  const { stdout, stderr, status } = spawnSync(
    program,
    left.map((each) => `--without=${each}`),
    {
      encoding: 'utf8',
      env: { ...process.env, ATFORK_TEST_TIMEOUT_MS: '120000', ...env },
      maxBuffer: 1 << 28,
    },
  );
  writeFileSync(path.join(folder, `${name}.txt`), `${stderr}\n${stdout}`);
  const lines = stdout.trimEnd().split('\n');
  for (const line of lines.filter((each) => each.startsWith('not ok'))) console.log(`${name}: ${line}`);
  for (const each of left) console.log(`${name}: left out ${each}: ${without[each]}`);
  console.log(`${name}: ${lines.at(-1)}`);
  return status === 0;
}

/** The executable `native_tests` of binding.gyp and the library that it is linked with. */
function build(name, flags) {
  const objects = path.join(folder, name);
  mkdirSync(objects, { recursive: true });
  const common = [
    '-std=c++17',
    '-O1',
    '-g',
    '-fno-omit-frame-pointer',
    '-fno-exceptions',
    '-fno-rtti',
    '-U_FORTIFY_SOURCE',
  ];
  // Without glibc_compat.h: what it binds to a version is not intercepted.
  const include = ['-I', 'native', '-I', 'test/native'];
  const jobs = sources().map((source) => {
    const object = path.join(objects, `${source.replaceAll('/', '-')}.o`);
    return { source, object, command: [...common, ...flags, ...include, '-c', source, '-o', object] };
  });
  console.log(`${name}: compiling ${String(jobs.length)} files`);
  const makefile = path.join(objects, 'Makefile');
  // What a test loads from beside the program.
  const library = path.join(objects, 'registrar.node');
  const loaded = `${library}: FORCE\n\t@clang++ ${[...common, ...flags].join(' ')} -shared -fPIC -o $@ test/native/registrar.cc`;
  const rules = jobs.map(({ object, command }) => `${object}: FORCE\n\t@clang++ ${command.join(' ')}`);
  const program = path.join(objects, 'native_tests');
  const link = `${program}: ${jobs.map(({ object }) => object).join(' ')}\n\t@clang++ ${flags.join(' ')} -o $@ $^ -lpthread -ldl`;
  writeFileSync(makefile, `${[link, loaded, ...rules].join('\n\n')}\n\nFORCE:\n`);
  const workers = `-j${String(os.availableParallelism())}`;
  const { status, stderr } = spawnSync('make', ['-f', makefile, workers, program, library], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status === 0) return program;
  console.error(stderr);
  return null;
}

function sources() {
  const text = readFileSync(path.join(root, 'binding.gyp'), 'utf8');
  // Python's comments apart, it is an expression of JavaScript.
  const gyp = new Function(`return (${text.replaceAll(/^\s*#.*$/gm, '')})`)();
  const targets = [gyp, ...gyp.conditions.map(([, then]) => then)].flatMap((each) => each.targets ?? []);
  return ['core', 'native_tests'].flatMap((name) => targets.find((each) => each.target_name === name).sources);
}
