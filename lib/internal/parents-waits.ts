/**
 * What an event loop waits for is its own process's: a child of a fork has a copy of the wait, of which nothing comes, and
 * which must keep nothing alive.
 */

/** What gives up a wait that is under way, silently. */
export const parentsWaits = new Set<() => void>();

/** Child: before anything else runs. */
export function forgetParentsWaits(): void {
  for (const forget of parentsWaits) forget();
  parentsWaits.clear();
}
