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

/** The value of the property whose key is a symbol that is described so: where Node's modules keep what is their own. */
export function hidden(object: object, description: string): unknown {
  const symbol = Object.getOwnPropertySymbols(object).find((key) => key.description === description);
  return symbol === undefined ? undefined : (Reflect.get(object, symbol) as unknown);
}
