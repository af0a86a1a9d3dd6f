/** What native/binding/handle_binding.cc offers to JavaScript. Types only. */
export interface NativeHandles {
  /** Calls `list` while process._getActiveHandles() lists every handle, those too that do not keep the process alive. */
  withHandlesReferenced(list: () => object[]): object[];
  /** Child: closes the descriptors of such handles, and nothing else of them. 0, or an errno. */
  giveUpFds(connections: boolean, channels: boolean, datagrams: boolean, servers: boolean): number;
}
