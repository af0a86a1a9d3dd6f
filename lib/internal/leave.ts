/** The end of a process whose environment must not be taken down. */

/** When it would end by itself: `exit` is called in place of the rest, after all listeners of 'exit', whatever becomes of them. */
export function leaveWithoutTeardown(exit: (code: number) => void): void {
  const { emit } = process as { emit: (this: NodeJS.Process, event: string | symbol, ...rest: unknown[]) => boolean };
  const value = (event: string | symbol, ...rest: unknown[]): boolean => {
    if (event !== 'exit') return emit.call(process, event, ...rest);
    try {
      emit.call(process, event, ...rest);
    } catch (error) {
      // Nobody catches it: it is printed, and nothing is taken down.
      if (process.listenerCount('uncaughtException') === 0) throw error;
      emit.call(process, 'uncaughtException', error, 'uncaughtException');
    }
    // An error that nobody has caught is printed after 'exit', with this code.
    if (!isFailing) exit(Number(process.exitCode ?? rest[0]));
    return true;
  };
  let isFailing = false;
  process.on('uncaughtExceptionMonitor', () => {
    isFailing = true;
    process.nextTick(() => (isFailing = false));
  });
  Object.defineProperty(process, 'emit', { value, configurable: true, writable: true });
}
