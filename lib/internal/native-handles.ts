/** What native/binding/handle_binding.cc offers to JavaScript. */

/** Bits of what giveUpFds returns. */
export const inheritedHandles = 1;
export const stdoutFile = 2;
export const stderrFile = 4;

export interface NativeHandles {
  /** Calls `list` while process._getActiveHandles() lists every handle, those too that do not keep the process alive. */
  withHandlesReferenced(list: () => object[]): object[];
  /**
   * Child: closes the descriptors of such handles, and nothing else of them; `queued`: drops what fds 0 to 2 have queued.
   * A negative errno, or the sum of what there is: the bits above for handles that may have to be given up, and for files on
   * fds 1 and 2; and 8 for each stream on fds 0 to 2.
   */
  giveUpFds(connections: boolean, channels: boolean, datagrams: boolean, servers: boolean, queued: boolean): number;
}
