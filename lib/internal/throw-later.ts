/** Throws `error` on the next tick, as an uncaught one: a child that is forked before that has this in its queue too. */
export function throwLater(error: unknown): void {
  const { pid } = process;
  process.nextTick(() => {
    if (process.pid === pid) throw error;
  });
}
