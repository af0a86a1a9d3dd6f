import { expect, it } from 'vitest';

import { runScript, temporaryTree } from './run-script';

const goodTree = {
  'native/include/atfork.h': '#include <stdint.h>\n',
  'native/child/zone.h': '#include <sys/types.h>\n',
  'native/posix/wait.h': '#include <unistd.h>\n#include "child/zone.h"\n#include "include/atfork.h"\n',
  'native/runtime/loop.cc': '#include <uv.h>\n#include "posix/wait.h"\n',
  'native/binding/binding.cc': '#include <napi.h>\n#include <string>\n#include "posix/wait.h"\n',
  'native/addon.cc': '#include <napi.h>\n#include "posix/wait.h"\n',
  'lib/errors.ts': "import * as os from 'node:os';\nexport const a = os;\n",
  'lib/internal/types.ts': "import type { a } from '../errors';\nexport type A = typeof a;\n",
  'lib/binding.ts': "import type { A } from './internal/types';\nexport type B = A;\n",
  'lib/process/fork.ts': "import type { B } from '../binding';\nexport type C = B;\n",
  'lib/index.ts': "export type { C } from './process/fork';\n",
};

it('accepts a tree in which everything points down', () => {
  expect(runScript('check-layers.mjs', temporaryTree(goodTree))).toEqual({ code: 0, breaches: [''] });
});

it('names every include and import that does not', () => {
  const tree = temporaryTree({
    ...goodTree,
    'native/child/up.cc': '#include "posix/wait.h"\n',
    'native/posix/js.cc': '#include <node_api.h>\n  #  include <uv.h>\n',
    'native/runtime/v8.cc': '#include <v8-isolate.h>\n',
    'native/binding/calls.cc': '#include <sys/wait.h>\n#include <unistd.h>\n#include <csignal>\n',
    'native/binding/lost.cc': '#include "binding/nowhere.h"\n',
    'native/stray/stray.cc': '#include "posix/wait.h"\n',
    'lib/errors.ts': "import { b } from './binding';\nexport const a = b;\n",
    'lib/census/threads.ts': "export * from '../process/fork';\n",
    'lib/locks/one.ts': "import { two } from './two';\nexport const one = two;\n",
    'lib/locks/two.ts': "export const two = async () => (await import('./one')).one;\n",
    'lib/stray/stray.ts': 'export {};\n',
  });
  expect(runScript('check-layers.mjs', tree)).toEqual({
    code: 1,
    breaches: [
      'lib/census/threads.ts: imports lib/process/fork.ts of a higher layer',
      'lib/errors.ts: imports lib/binding.ts of a higher layer',
      'lib/stray/stray.ts: it is in no layer (internal, errors, binding, census, process, locks, server, pool, harness, index)',
      'lib: circular import: binding.ts -> internal/types.ts -> errors.ts -> binding.ts',
      'lib: circular import: locks/one.ts -> locks/two.ts -> locks/one.ts',
      'native/binding/calls.cc: includes <csignal>: the binding makes no system calls',
      'native/binding/calls.cc: includes <sys/wait.h>: the binding makes no system calls',
      'native/binding/calls.cc: includes <unistd.h>: the binding makes no system calls',
      'native/binding/lost.cc: "binding/nowhere.h" is not a path below native/',
      'native/child/up.cc: includes "posix/wait.h" of a higher layer',
      'native/posix/js.cc: includes <node_api.h>: only the binding knows JavaScript',
      'native/posix/js.cc: includes <uv.h>: posix and child know nothing of libuv',
      'native/runtime/v8.cc: includes <v8-isolate.h>: Node-API only, or one binary would not serve all Node lines',
      'native/stray/stray.cc: it is in no layer (child, posix, runtime, binding, addon.cc)',
    ],
  });
});
