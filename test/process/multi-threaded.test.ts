/** What fork() says of threads that the child loses; see test/fixtures/multi-threaded.cjs. */
import { describe, expect, it } from 'vitest';

import { caseNames, optionsOf } from '../fixtures/multi-threaded-names.cjs';
import { fixturePasses, runFixture } from '../helpers/run-fixture';

describe('threads that the child loses', () => {
  it.each(caseNames)('%s', async (name) => {
    const output = await fixturePasses('multi-threaded.cjs', { args: [name], ...optionsOf(name) });
    expect(output).toBe('done\n');
  });
});

describe('the warning', () => {
  const printed =
    /^\(node:(\d+)\) \[ATFORK_DEP0001\] DeprecationWarning: This process \(pid=\1\) is multi-threaded, /gm;
  const forked = 'exitCode 0\nexitCode 0\n';
  const refused = 'ERR_ATFORK_MULTITHREADED\nERR_ATFORK_MULTITHREADED\n';
  const run = (execArgv: string[]): ReturnType<typeof runFixture> =>
    runFixture('multi-threaded-options.cjs', { execArgv });

  it('is printed as Node prints its own, once for each place, by the parent', async () => {
    const { code, stdout, stderr } = await run([]);
    expect([code, stdout]).toEqual([0, forked]);
    expect(stderr.match(printed)).toHaveLength(2);
    expect(stderr.match(/^Lost in the child: js-worker "/gm)).toHaveLength(2);
  });

  it.each(['--no-deprecation', '--no-warnings', '--disable-warning=ATFORK_DEP0001'])('obeys %s', async (option) => {
    const { code, stdout, stderr } = await run([option]);
    expect([code, stdout, stderr]).toEqual([0, forked, '']);
  });

  it('obeys --disable-warning=DeprecationWarning', async () => {
    const { code, stdout, stderr } = await run(['--disable-warning=DeprecationWarning']);
    expect([code, stdout, stderr]).toEqual([0, forked, '']);
  });

  it('shows with --trace-deprecation where the program called fork()', async () => {
    const { code, stdout, stderr } = await run(['--trace-deprecation']);
    expect([code, stdout]).toEqual([0, forked]);
    expect(stderr.match(/^ {4}at .*multi-threaded-options\.cjs:\d+:\d+/gm)?.length).toBeGreaterThanOrEqual(4);
    expect(stderr).not.toMatch(/dist.process/);
  });

  it('is an error, and no child, with --throw-deprecation', async () => {
    const { code, stdout, stderr } = await run(['--throw-deprecation']);
    expect([code, stdout, stderr]).toEqual([0, refused, '']);
  });

  it('is nothing with --throw-deprecation and --no-deprecation', async () => {
    const { code, stdout, stderr } = await run(['--throw-deprecation', '--no-deprecation']);
    expect([code, stdout, stderr]).toEqual([0, forked, '']);
  });

  it('comes as an event even where it is not printed', async () => {
    const { stdout, stderr } = await runFixture('multi-threaded-options.cjs', {
      execArgv: ['--no-warnings'],
      args: ['listen'],
    });
    expect([stdout, stderr]).toEqual([`${forked}ATFORK_DEP0001\nATFORK_DEP0001\n`, '']);
  });
});
