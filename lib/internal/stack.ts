/** The stack of JavaScript, where it must not come to its end in the midst of something. */

const { apply } = Reflect;
const words = new Map<number, readonly undefined[]>();

/**
 * A call takes a word of stack for each argument. Where V8 has to compile a function of Node's, it wants some 48 KB.
 *
 * @throws RangeError, as any call does there, where less than that is left.
 */
export function reserveStack(kilobytes: number): void {
  let list = words.get(kilobytes);
  if (list === undefined) {
    list = new Array<undefined>(kilobytes * 128).fill(undefined);
    words.set(kilobytes, list);
  }
  apply(() => undefined, undefined, list);
}
