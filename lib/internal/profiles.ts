/** --cpu-prof and --heap-prof, which Node lets one ask for on its command line or in NODE_OPTIONS. */

/** What their names are, as far as they are given; null where nothing is profiled. */
export function profileNames(): string[] | null {
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)];
  if (!options.some((option) => /^--(?:cpu|heap)-prof$/.test(option))) return null;
  return options.flatMap((option, index) => {
    const [name, value] = option.split(/=(.*)/s, 2);
    return /^--(?:cpu|heap)-prof-name$/.test(name ?? '') ? [value ?? options[index + 1] ?? ''] : [];
  });
}
