/** An EventEmitter, or `process`. */
export interface Emitter {
  emit(event: string | symbol, ...rest: unknown[]): boolean;
}

/** From here on `emitter` does not emit these events, whoever listens to them, now or later. */
export function silence(emitter: Emitter, events: readonly string[]): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { emit } = emitter;
  const value = (event: string | symbol, ...rest: unknown[]): boolean => {
    return !events.includes(event as string) && emit.call(emitter, event, ...rest);
  };
  Object.defineProperty(emitter, 'emit', { value, writable: true, configurable: true });
}

/** From here on `emitter` emits nothing: what is under way there is heard of in the parent only. */
export function mute(emitter: Emitter): void {
  Object.defineProperty(emitter, 'emit', { value: () => false, writable: true, configurable: true });
}

/** From here on `emitter` says that it is closed, and nothing else. */
export function muteButClose(emitter: Emitter): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { emit } = emitter;
  const value = (event: string | symbol, ...rest: unknown[]): boolean =>
    event === 'close' && emit.call(emitter, event, ...rest);
  Object.defineProperty(emitter, 'emit', { value, writable: true, configurable: true });
}

/** What silenceForNow() has put in the place of which own `emit`, and whether it is of use no more. */
const replaced = new WeakMap<object, Replaced>();

interface Replaced {
  readonly own: PropertyDescriptor | undefined;
  over: boolean;
}

/**
 * The same for what is on its way already: until everything that is queued for the next tick has been called. `emit` is as
 * before then, unless somebody else has put another around it.
 */
export function silenceForNow(emitter: Emitter, isSilent: (event: string | symbol, value: unknown) => boolean): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { emit } = emitter;
  const state: Replaced = { own: Object.getOwnPropertyDescriptor(emitter, 'emit'), over: false };
  const value = (event: string | symbol, ...rest: unknown[]): boolean => {
    if (!state.over && isSilent(event, rest[0])) return true;
    return emit.call(emitter, event, ...rest);
  };
  // A frozen one is as it is.
  if (!Reflect.defineProperty(emitter, 'emit', { value, writable: true, configurable: true })) return;
  replaced.set(value, state);
  process.nextTick(() => {
    state.over = true;
    if (emitter.emit !== value) return;
    let { own } = state;
    // One that a fork within this tick has covered.
    for (let inner = replacedBy(own); inner?.over === true; inner = replacedBy(own)) ({ own } = inner);
    if (own === undefined) Reflect.deleteProperty(emitter, 'emit');
    else Object.defineProperty(emitter, 'emit', own);
  });
}

function replacedBy(own: PropertyDescriptor | undefined): Replaced | undefined {
  const value = own?.value as object | undefined;
  return value === undefined ? undefined : replaced.get(value);
}

/** The value of the property whose key is a symbol that is described so: where Node's modules keep what is their own. */
export function hidden(object: object, description: string): unknown {
  const symbol = hiddenKey(object, description);
  return symbol === undefined ? undefined : (Reflect.get(object, symbol) as unknown);
}

/** Sets it, if it is there. */
export function setHidden(object: object, description: string, value: unknown): void {
  const symbol = hiddenKey(object, description);
  if (symbol !== undefined) Reflect.set(object, symbol, value);
}

function hiddenKey(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((key) => key.description === description);
}
