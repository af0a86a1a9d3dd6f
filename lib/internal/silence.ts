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

/** From here on `emitter` says that it is closed, `beforeClose` being called first, and what stops pipes; nothing else. */
export function muteButClose(emitter: Emitter, beforeClose: () => void): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { emit } = emitter;
  const value = (event: string | symbol, ...rest: unknown[]): boolean => {
    if (event === 'close') beforeClose();
    // What is piped to it stops by 'unpipe', on its 'close'.
    else if (event !== 'unpipe') return false;
    return emit.call(emitter, event, ...rest);
  };
  Object.defineProperty(emitter, 'emit', { value, writable: true, configurable: true });
}

/** The same for what is on its way already: until everything that is queued for the next tick has been called. */
export function silenceForNow(emitter: Emitter, events: readonly string[]): void {
  const own = Object.getOwnPropertyDescriptor(emitter, 'emit');
  silence(emitter, events);
  // eslint-disable-next-line @typescript-eslint/unbound-method -- compared only
  const silent = emitter.emit;
  process.nextTick(() => {
    // Unless somebody has put another around it.
    if (emitter.emit !== silent) return;
    if (own === undefined) Reflect.deleteProperty(emitter, 'emit');
    else Object.defineProperty(emitter, 'emit', own);
  });
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
