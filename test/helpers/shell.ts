import type { FixtureOptions } from './run-fixture';

/**
 * Options that run a fixture from within /bin/sh. In `script`, `"$NODE" "$0" "$@"` is the fixture with its arguments.
 *
 * With `exec` before it the shell becomes the fixture, and what the shell started in the background (`$!`) is a child of
 * it that Node knows nothing of and does not reap.
 */
export function fromShell(script: string, options: FixtureOptions = {}): FixtureOptions {
  const node = options.node ?? process.env.ATFORK_TEST_NODE ?? process.execPath;
  return { ...options, node: '/bin/sh', execArgv: ['-c', script], env: { ...options.env, NODE: node } };
}
