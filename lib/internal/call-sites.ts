/**
 * Who has called, at most so many frames, this function's first. None where Error is frozen, as under --frozen-intrinsics. What
 * the program has made of `Error.prepareStackTrace` is not asked.
 */
export function callSites(limit: number): readonly NodeJS.CallSite[] {
  const before = {
    prepareStackTrace: Reflect.get(Error, 'prepareStackTrace') as unknown,
    stackTraceLimit: Error.stackTraceLimit,
  };
  try {
    Error.stackTraceLimit = limit;
    Error.prepareStackTrace = (_, sites) => sites;
  } catch {
    return [];
  }
  try {
    return new Error().stack as unknown as NodeJS.CallSite[];
  } finally {
    Object.assign(Error, before);
  }
}
