import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['build/', 'coverage/', 'dist/', 'prebuilds/', '.cache/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      // House rule: an import names what it brings.
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true } }],
    },
  },
  {
    files: ['**/*.ts', '**/*.mts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: 'test/tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      // The one way to import `export =` without esModuleInterop.
      '@typescript-eslint/no-require-imports': ['error', { allowAsImport: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  {
    // Plain JavaScript: what runs before anything is compiled, and what runs without a compiler.
    files: ['**/*.mjs', '**/*.cjs', '**/*.js'],
    languageOptions: { globals: nodeGlobals() },
  },
  {
    files: ['**/*.cjs', '**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals: { __dirname: 'readonly', __filename: 'readonly' } },
  },
  {
    // Tools that ask for a default export.
    files: ['eslint.config.mjs', 'vitest.config.mts'],
    rules: { 'no-restricted-exports': 'off' },
  },
);

/** The names that Node puts into every module's scope, as far as scripts, examples and fixtures use them. */
function nodeGlobals() {
  const names = [
    'AbortController AbortSignal Atomics BroadcastChannel Buffer MessageChannel SharedArrayBuffer TextDecoder TextEncoder',
    'URL WebAssembly clearImmediate clearInterval clearTimeout console fetch gc global navigator performance process',
    'queueMicrotask setImmediate setInterval setTimeout structuredClone',
  ];
  return Object.fromEntries(
    names
      .join(' ')
      .split(' ')
      .map((name) => [name, 'readonly']),
  );
}
