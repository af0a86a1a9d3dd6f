import * as path from 'node:path';

import { expect, it } from 'vitest';

import { compile, runScript, temporaryTree } from './run-script';

/** A shared object that asks another one for a symbol of the given version. */
function objectAskingFor(version: string): string {
  const folder = temporaryTree({
    'provider.cc': 'extern "C" void provided() {}\n',
    'provider.map': `${version} { global: provided; };\n`,
    'asker.cc': 'extern "C" void provided();\nvoid Ask() { provided(); }\n',
  });
  compile(folder, '-shared', '-fPIC', 'provider.cc', '-Wl,--version-script=provider.map', '-o', 'libprovider.so');
  compile(folder, '-shared', '-fPIC', 'asker.cc', '-L.', '-lprovider', '-o', 'asker.so');
  return path.join(folder, 'asker.so');
}

it.each(['GLIBC_2.31', 'GLIBC_2.4', 'GLIBCXX_3.4', 'GLIBCXX_3.4.28'])('%s is old enough', (version) => {
  expect(runScript('check-glibc-floor.mjs', objectAskingFor(version)).code).toBe(0);
});

it.each(['GLIBC_2.32', 'GLIBC_2.31.1', 'GLIBC_3.0', 'GLIBCXX_3.4.29', 'OTHER_1.0'])('%s is too new', (version) => {
  const object = objectAskingFor(version);
  expect(runScript('check-glibc-floor.mjs', object)).toEqual({
    code: 1,
    breaches: [`${object}: provided asks for ${version}`],
  });
});
