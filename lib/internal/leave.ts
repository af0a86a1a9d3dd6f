/** The end of a process whose environment must not be taken down. */

/** When it would end by itself: `exit` is called in place of the rest, after all listeners of 'exit'. */
export function leaveWithoutTeardown(exit: (code: number) => void): void {
  // An error that nobody catches is printed after 'exit', and then nothing is taken down.
  let isFailing = false;
  process.on('uncaughtExceptionMonitor', () => {
    isFailing = true;
    process.nextTick(() => (isFailing = false));
  });
  const leave = (code: number): void => {
    if (isFailing) return;
    process.removeListener('exit', leave);
    process.emit('exit', code);
    exit(Number(process.exitCode ?? code));
  };
  process.prependListener('exit', leave);
}
