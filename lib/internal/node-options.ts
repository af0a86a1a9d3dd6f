/** Node's own options, as this process was given them on its command line and in NODE_OPTIONS. */

export interface NodeOption {
  /** With dashes: Node takes `--cpu_prof` too. */
  readonly name: string;
  /** What follows it, after `=` or as the next argument; that may as well be another option. */
  readonly value: string;
}

export function nodeOptions(): NodeOption[] {
  const words = [...process.execArgv, ...wordsOf(process.env.NODE_OPTIONS ?? '')];
  return words.flatMap((word, index) => {
    const [name = '', value] = word.split(/=(.*)/s, 2);
    if (!name.startsWith('--')) return [];
    return [{ name: `--${name.slice(2).replaceAll('_', '-')}`, value: value ?? words[index + 1] ?? '' }];
  });
}

/** At spaces outside of double quotes, inside which a backslash stands for what comes after it (Node, src/node_options.cc). */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|[^ "])+/gs) ?? [];
  return words.map((word) =>
    word.replace(/"((?:\\.|[^"\\])*)"/gs, (_, quoted: string) => quoted.replace(/\\(.)/gs, '$1')),
  );
}
