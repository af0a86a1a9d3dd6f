/** Looking at source trees, for the checks and the set-up. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

/** Every file below `folder`, as paths relative to it with forward slashes, sorted; none when there is no such folder. */
export function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .map((file) => file.split(path.sep).join('/'))
    .sort();
}

/** When one of `paths` changed last, in ms since the epoch; folders count with all that is in them, and removals too. */
export function newestChange(paths) {
  return Math.max(0, ...paths.filter(existsSync).map(changeOf));
}

function changeOf(file) {
  const stat = statSync(file);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(file).map((name) => changeOf(path.join(file, name))));
}
