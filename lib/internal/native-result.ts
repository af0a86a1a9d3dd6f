/** How a native function reports a failure of the system: by its return value, so that no exception crosses the layers. */
import { type AtforkErrorClass, type NativeErrorInfo, fromNative } from '../errors';

/** `T`, or what went wrong, which no array is. `T` has no property `errnum`. */
export type NativeResult<T> = T | NativeErrorInfo;

/** The value of `result`, or the error of class `cls` thrown. */
export function unwrap<T>(cls: AtforkErrorClass, result: NativeResult<T>): T {
  if (isFailure(result)) throw fromNative(cls, result);
  return result;
}

export function isFailure<T>(result: NativeResult<T>): result is NativeErrorInfo {
  return typeof result === 'object' && result !== null && !Array.isArray(result) && Object.hasOwn(result, 'errnum');
}
