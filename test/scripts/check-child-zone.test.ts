import { expect, it } from 'vitest';

import { compile, runScript, temporaryTree } from './run-script';

const zone = {
  'send.cc': '#include <unistd.h>\nint Sent();\nvoid Send() { if (Sent() == 0) write(1, "x", 1); }\n',
  'sent.cc': '#include <errno.h>\nint Sent() { return errno; }\n',
};

it('accepts objects that call each other and async-signal-safe functions', () => {
  const folder = temporaryTree(zone);
  compile(folder, '-c', '-fPIC', 'send.cc', 'sent.cc');
  expect(runScript('check-child-zone.mjs', folder)).toEqual({ code: 0, breaches: [''] });
});

it('names what is not safe, and what belongs to nobody', () => {
  const folder = temporaryTree({
    ...zone,
    'allocate.cc': '#include <stdlib.h>\nvoid* Allocate() { return malloc(1); }\n',
    'local.cc': 'extern thread_local int count;\nint Count() { return count; }\n',
  });
  compile(folder, '-c', '-fPIC', 'send.cc', 'allocate.cc', 'local.cc');
  const { code, breaches } = runScript('check-child-zone.mjs', folder);
  expect(code).toBe(1);
  expect(breaches).toContain('allocate.o: malloc is not known to be async-signal-safe');
  // A thread-local variable of another object: the dynamic linker may allocate it on first use.
  expect(breaches).toContain('local.o: __tls_get_addr is not known to be async-signal-safe');
  expect(breaches).toContain('send.o: _Z4Sentv is not known to be async-signal-safe');
});

it('fails when there is nothing to check', () => {
  expect(runScript('check-child-zone.mjs', temporaryTree({})).code).toBe(1);
});
