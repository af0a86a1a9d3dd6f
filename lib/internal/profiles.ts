/** --cpu-prof and --heap-prof, which Node lets one ask for on its command line or in NODE_OPTIONS. */
import { nodeOptions } from './node-options';

/** What their names are, as far as they are given; null where nothing is profiled. */
export function profileNames(): string[] | null {
  const options = nodeOptions();
  if (!options.some(({ name }) => /^--(?:cpu|heap)-prof$/.test(name))) return null;
  return options.flatMap(({ name, value }) => (/^--(?:cpu|heap)-prof-name$/.test(name) ? [value] : []));
}
