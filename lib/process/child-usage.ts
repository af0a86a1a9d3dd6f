/** What a child has used of the system. */
import type { NativeChildEnd } from '../internal/native-exec';

/** As of process.resourceUsage(). */
export interface ChildResourceUsage {
  /** Microseconds. */
  readonly userCPUTime: number;
  readonly systemCPUTime: number;
  /** Kilobytes. */
  readonly maxRSS: number;
  readonly minorPageFault: number;
  readonly majorPageFault: number;
  readonly fsRead: number;
  readonly fsWrite: number;
  readonly voluntaryContextSwitches: number;
  readonly involuntaryContextSwitches: number;
}

export function usageOf({ usage }: NativeChildEnd): ChildResourceUsage {
  return {
    userCPUTime: usage[0],
    systemCPUTime: usage[1],
    maxRSS: usage[2],
    minorPageFault: usage[3],
    majorPageFault: usage[4],
    fsRead: usage[5],
    fsWrite: usage[6],
    voluntaryContextSwitches: usage[7],
    involuntaryContextSwitches: usage[8],
  };
}
