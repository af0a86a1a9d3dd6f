import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A test waits for fixtures, and a fixture's own bound (30 s, run-fixture.ts) has to strike first: it prints why.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // CI reads the numbers from here.
    reporters: ['default', 'json'],
    outputFile: { json: '.cache/vitest.json' },
  },
});
